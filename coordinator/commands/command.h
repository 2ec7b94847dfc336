// SPDX-License-Identifier: Apache-2.0
// The commands of finescale, one .cpp each. add_x() declares the subcommand; its callback sets the
// exit code.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "configs/parse.h"

namespace finescale {

struct CommandContext {
  int exit_code = 0;
  bool json = false;  // a failed command then prints {"error": ...}
};

void add_init(CLI::App& app, CommandContext& context);
void add_plan(CLI::App& app, CommandContext& context);
void add_run(CLI::App& app, CommandContext& context);
void add_submit(CLI::App& app, CommandContext& context);
void add_status(CLI::App& app, CommandContext& context);
void add_stop(CLI::App& app, CommandContext& context);
void add_retry(CLI::App& app, CommandContext& context);
void add_prune(CLI::App& app, CommandContext& context);
void add_results(CLI::App& app, CommandContext& context);
void add_fit(CLI::App& app, CommandContext& context);
void add_report(CLI::App& app, CommandContext& context);
void add_serve(CLI::App& app, CommandContext& context);
void add_audit(CLI::App& app, CommandContext& context);
void add_samples(CLI::App& app, CommandContext& context);
void add_generate(CLI::App& app, CommandContext& context);
void add_chat(CLI::App& app, CommandContext& context);
void add_model_commands(CLI::App& app,
                        CommandContext& context);  // export, import, score, verify-resume
void add_study(CLI::App& app, CommandContext& context);
void add_simulate(CLI::App& app, CommandContext& context);
void add_schema(CLI::App& app, CommandContext& context);
void add_doctor(CLI::App& app, CommandContext& context);
// Of all commands added so far, and their own.
void add_completion(CLI::App& app, CommandContext& context);
void add_man(CLI::App& app, CommandContext& context);

// --set a.b=c, repeatable.
void add_settings(CLI::App& command, std::vector<std::string>& settings);
[[nodiscard]] std::vector<Override> to_overrides(const std::vector<std::string>& settings);

// DIR of a command: as given, else the only campaign below runs/. Throws kConfig otherwise.
[[nodiscard]] std::string campaign_directory(const std::string& given);

}  // namespace finescale
