// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>
#include <thread>

#include "coordinator/commands/command.h"
#include "coordinator/init.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

int init(const std::string& directory) {
  const std::string sweep = directory + "/sweep.yaml";
  if (path_exists(sweep)) {
    throw Error(ErrorKind::kConfig, "a sweep file is already here", sweep,
                "give another directory");
  }
  make_directories(directory + "/data");
  write_file_atomically(directory + "/data/eval.jsonl", init_data(0, 128, false));
  write_file_atomically(directory + "/data/train.jsonl", init_data(128, 2000, false));
  write_file_atomically(directory + "/data/text.jsonl", init_data(4000, 2000, true));
  write_file_atomically(
      sweep, init_sweep(std::max(1, static_cast<int>(std::thread::hardware_concurrency()))));
  std::cerr << "wrote " << sweep << " and small data beside it\n  finescale plan " << sweep
            << "\n  finescale run " << sweep << "\n";
  return 0;
}

}  // namespace

void add_init(CLI::App& app, CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("init", "write a commented sweep.yaml that runs as it is on this machine");
  const auto directory = std::make_shared<std::string>(".");
  command->add_option("DIR", *directory, "where (default: here)");
  command->callback([directory, &context] { context.exit_code = init(*directory); });
}

}  // namespace finescale
