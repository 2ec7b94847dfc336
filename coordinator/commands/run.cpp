// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <thread>
#include <utility>

#include "coordinator/campaign.h"
#include "coordinator/checked_sweep.h"
#include "coordinator/commands/command.h"
#include "coordinator/commands/run_sweep.h"
#include "coordinator/finish.h"
#include "coordinator/plan_mesh.h"
#include "coordinator/store.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/stop_signal.h"

namespace finescale {

namespace {

// Until no other coordinator has the campaign, or a signal asks to stop. After a node was lost, its
// coordinator may go on for a while beside the job that was requeued.
void wait_for_other(const std::string& directory, Logger& logger) {
  constexpr int kSecondsBetweenLines = 60;
  for (int seconds = 0; stop_signal() == 0 && Store::is_held(directory); ++seconds) {
    if (seconds % kSecondsBetweenLines == 0) {
      logger.info("another coordinator runs this campaign: waiting for it to end");
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

int run_sweep(const RunArguments& arguments) {
  watch_limit_warning();  // from the start: it asks for a requeue, not for an end
  CheckedSweep checked = check_sweep(arguments.file, to_overrides(arguments.settings));
  CampaignOptions options;
  options.extend = arguments.extend;
  options.sweep = std::move(checked.sweep);
  options.directory = checked.directory;
  settle_sweep_mesh(options.sweep, [&](const std::string& request) {
    return ask_plan_tool(arguments.file, request);
  });
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
  if (arguments.wait) {
    wait_for_other(options.directory, *logger);
    if (stop_signal() != 0) {
      return 128 + stop_signal();
    }
  }
  const int code = run_campaign(options, *logger);
  if (code == 0 || code == 1) {
    finish_campaign(options.directory, *logger);
  } else {
    logger->info("interrupted; the same command continues");
  }
  return code;
}

void add_run(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "run", "coordinate a sweep until it is done; the same command continues an interrupted one");
  // CLI11 keeps callbacks: the arguments must live as long.
  const auto arguments = std::make_shared<RunArguments>();
  command->add_option("SWEEP", arguments->file, "sweep file")->required();
  add_settings(*command, arguments->settings);
  command->add_flag("--extend", arguments->extend,
                    "take values added to the axes; what is finished is kept, all else must be as "
                    "it was");
  command->add_flag("--wait", arguments->wait,
                    "when another coordinator runs the campaign, wait for it to end");
  command->callback([arguments, &context] { context.exit_code = run_sweep(*arguments); });
}

}  // namespace finescale
