// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "coordinator/check_recipes.h"
#include "coordinator/commands/command.h"
#include "coordinator/content_hashes.h"
#include "coordinator/plan_command.h"
#include "coordinator/plan_mesh.h"
#include "core/error.h"

namespace finescale {

namespace {

int print_plan(const std::string& file, const std::vector<std::string>& settings, bool json) {
  const config::Sweep sweep = load_sweep(file, to_overrides(settings));
  // Datasets that are made of others, at their places in the file; their counts are in the report.
  (void)check_recipes(make_full_plan(sweep, [](const std::string& path) { return path; }), sweep,
                      file);
  ContentHashes hashes("");
  const PlanReport report = plan_sweep(
      sweep, [&](const std::string& path) { return hashes(path); },
      [&](const std::string& request) { return ask_plan_tool(file, request); },
      read_site(sweep.output()));
  std::cout << (json ? plan_json(report) + "\n" : plan_text(report));
  return report.mesh.fits ? 0 : exit_code(ErrorKind::kConfig);
}

}  // namespace

void add_plan(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "plan", "dry run: trials, stages, FLOPs, tokens, predicted time, memory, files");
  struct Arguments {
    std::string file;
    std::vector<std::string> settings;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("SWEEP", arguments->file, "sweep file")->required();
  add_settings(*command, arguments->settings);
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback([arguments, &context] {
    context.exit_code = print_plan(arguments->file, arguments->settings, context.json);
  });
}

}  // namespace finescale
