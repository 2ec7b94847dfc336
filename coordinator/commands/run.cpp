// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "coordinator/campaign.h"
#include "coordinator/check_model.h"
#include "coordinator/commands/command.h"
#include "coordinator/finish.h"
#include "coordinator/plan.h"
#include "coordinator/plan_mesh.h"
#include "coordinator/worker_tool.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/stop_signal.h"

namespace finescale {

namespace {

int run_sweep(const std::string& file, const std::vector<std::string>& settings, bool extend) {
  CampaignOptions options;
  options.extend = extend;
  options.sweep = load_sweep(file, to_overrides(settings));
  options.directory = std::filesystem::absolute(options.sweep.output()).lexically_normal().string();
  CheckedData checked;
  if (!std::filesystem::exists(options.directory + "/store.sqlite")) {
    checked = check_data(options.sweep);  // a wrong line is found now, not by the first gang
    check_base_model(options.sweep);
    // So is a combination of axis values that does not go together.
    const Plan plan = make_plan(options.sweep, [](const std::string& path) { return path; }, {});
    check_budgets(plan, options.sweep, checked);
  }
  settle_sweep_mesh(options.sweep,
                    [&](const std::string& request) { return ask_plan_tool(file, request); });
  make_directories(options.directory + "/logs");
  LogOptions log;
  log.file = options.directory + "/logs/coordinator.log";
  const std::shared_ptr<Logger> logger = make_logger(log);
  for (const std::string& found : checked.found) {
    logger->info("{}", found);
  }
  options.live_line = ::isatty(STDERR_FILENO) != 0;
  options.stop_signal = stop_signal;
  watch_stop_signals();
  const int code = run_campaign(options, *logger);
  if (code == 0 || code == 1) {
    finish_campaign(options.directory, *logger);
  } else {
    logger->info("interrupted; the same command continues");
  }
  return code;
}

}  // namespace

void add_run(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "run", "coordinate a sweep until it is done; the same command continues an interrupted one");
  struct Arguments {
    std::string file;
    std::vector<std::string> settings;
    bool extend = false;
  };
  const auto arguments =
      std::make_shared<Arguments>();  // CLI11 keeps callbacks: the arguments must live as long
  command->add_option("SWEEP", arguments->file, "sweep file")->required();
  add_settings(*command, arguments->settings);
  command->add_flag("--extend", arguments->extend,
                    "take values added to the axes; what is finished is kept, all else must be as "
                    "it was");
  command->callback([arguments, &context] {
    context.exit_code = run_sweep(arguments->file, arguments->settings, arguments->extend);
  });
}

}  // namespace finescale
