// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <iostream>
#include <thread>

#include "coordinator/commands/command.h"
#include "coordinator/current_status.h"
#include "coordinator/serve/server.h"
#include "core/secret.h"
#include "core/stop_signal.h"

namespace finescale {

namespace {

int serve(const std::string& given, int port) {
  const std::string directory = campaign_directory(given);
  (void)current_status(directory);  // whether a campaign is here is said now, not in the browser
  CampaignServer server(directory, port, random_token());
  watch_stop_signals();
  std::cout << server.url() << "\n" << std::flush;
  std::cerr << "serving " << directory
            << " to this machine; Ctrl-C ends it. From elsewhere: ssh -L " << server.port()
            << ":127.0.0.1:" << server.port() << " HOST\n";
  const std::jthread waits([&server](const std::stop_token& stop) {
    while (!stop.stop_requested() && stop_signal() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    server.stop();
  });
  server.run();
  return stop_signal() == 0 ? 0 : 128 + stop_signal();
}

}  // namespace

void add_serve(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "serve",
      "the report as a live page on 127.0.0.1, and /metrics for Prometheus; prints the address");
  struct Arguments {
    std::string directory;
    int port = 0;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  command->add_option("--port", arguments->port, "port; 0: any that is free")
      ->check(CLI::Range(0, 65535));
  command->callback(
      [arguments, &context] { context.exit_code = serve(arguments->directory, arguments->port); });
}

}  // namespace finescale
