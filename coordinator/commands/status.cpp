// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <thread>

#include <nlohmann/json.hpp>

#include "coordinator/commands/command.h"
#include "coordinator/current_status.h"
#include "coordinator/status.h"

namespace finescale {

namespace {

int show_status(const std::string& given, bool watch, bool json) {
  const std::string directory = campaign_directory(given);
  const bool clear = watch && ::isatty(STDOUT_FILENO) != 0;
  for (;;) {
    const std::string status = current_status(directory);
    if (json) {
      std::cout << status << "\n";
    } else {
      std::cout << (clear ? "\033[H\033[J" : "") << status_text(status) << std::flush;
    }
    if (!watch || nlohmann::json::parse(status)["state"] != "running") {
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
}

}  // namespace

void add_status(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "status", "trials by state, gangs, throughput, time left; of a live or dead campaign");
  struct Arguments {
    std::string directory;
    bool watch = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  command->add_flag("--watch", arguments->watch, "again every two seconds");
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback([arguments, &context] {
    context.exit_code = show_status(arguments->directory, arguments->watch, context.json);
  });
}

}  // namespace finescale
