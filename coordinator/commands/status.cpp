// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <thread>

#include <nlohmann/json.hpp>

#include "comm/rpc/address.h"
#include "coordinator/commands/command.h"
#include "coordinator/status.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

// A live coordinator publishes every second; another machine may see that late.
constexpr double kFreshSeconds = 60;

bool is_fresh(const std::string& path) {
  std::error_code code;
  const auto written = std::filesystem::last_write_time(path, code);
  const std::chrono::duration<double> age = std::filesystem::file_time_type::clock::now() - written;
  return !code && age.count() < kFreshSeconds;
}

// From the live coordinator, else the last published snapshot with the state it must have now.
std::string current_status(const std::string& directory) {
  const auto address = read_address(directory);
  const bool is_elsewhere = address && address->machine != machine_name();
  if (address && !is_elsewhere) {
    try {
      CoordinatorClient client(*address);
      proto::ControlRequest request;
      request.set_token(address->token);
      request.set_command("status");
      return client.control(request, 5).json();
    } catch (const Error&) {
      // Dead: its snapshot follows.
    }
  }
  nlohmann::json snapshot;
  try {
    snapshot = nlohmann::json::parse(read_file(directory + "/status.json"));
  } catch (const std::exception&) {
    throw Error(ErrorKind::kConfig, "no campaign is here, or it published nothing yet", directory,
                "give the output directory of a sweep");
  }
  if (snapshot["state"] == "running" && !(is_elsewhere && is_fresh(directory + "/status.json"))) {
    snapshot["state"] = is_elsewhere ? "unknown" : "interrupted";
    snapshot["gangs"] = nlohmann::json::array();
    snapshot["eta_s"] = nullptr;
    snapshot["tokens_per_second"] = 0.0;
  }
  return snapshot.dump(1);
}

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
