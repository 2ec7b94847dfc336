// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/worker_command.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "configs/nearest_name.h"
#include "coordinator/artifacts.h"
#include "coordinator/campaign_reader.h"
#include "coordinator/launchers/launcher.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

bool is_campaign(const std::string& path) {
  return path_exists(path + "/store.sqlite");
}

// The artifact of a trial, or of the base that was trained first under the name `pretrain`.
std::string trial_directory(const std::string& directory, const std::string& trial) {
  const Campaign campaign = read_campaign(directory);
  std::vector<std::string> names;
  for (const TrialRow& row : campaign.rows) {
    names.push_back(row.trial);
    if (row.trial != trial) {
      continue;
    }
    for (const char* kind : {"adapter", "checkpoint"}) {
      if (const auto found = row.artifacts.find(kind); found != row.artifacts.end()) {
        return artifact_directory(campaign.directory, found->second);
      }
    }
    throw Error(ErrorKind::kConfig, "trial " + trial + " is " + row.state + ": it left no model",
                directory, "finescale status shows which trials are done");
  }
  for (const auto& [key, stage] : campaign.stages) {
    if (trial == "pretrain" && stage.label == trial && campaign.results.contains(key)) {
      return artifact_directory(campaign.directory, key);
    }
  }
  throw Error(ErrorKind::kConfig, "no trial " + trial + did_you_mean(trial, names), directory,
              "finescale results lists the trials");
}

// Returns only when the program cannot be started.
int become_worker(const std::string& tool, std::vector<std::string> arguments) {
  std::vector<std::string> texts = {worker_program(), "tool", tool};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    argv.push_back(text.data());
  }
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  throw Error(ErrorKind::kResource, std::string("cannot start: ") + std::strerror(errno), texts[0]);
}

}  // namespace

std::vector<std::string> with_trial_resolved(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments.front().starts_with("-")) {
    return arguments;
  }
  const std::string& first = arguments.front();
  if (is_campaign(first)) {
    if (arguments.size() < 2 || arguments[1].starts_with("-")) {
      throw Error(ErrorKind::kConfig, "a campaign has many models", first,
                  "name a trial: " + first + ":t0001");
    }
    arguments[1] = trial_directory(first, arguments[1]);
    arguments.erase(arguments.begin());
    return arguments;
  }
  const std::size_t colon = first.rfind(':');
  if (colon != std::string::npos && is_campaign(first.substr(0, colon))) {
    arguments.front() = trial_directory(first.substr(0, colon), first.substr(colon + 1));
  }
  return arguments;
}

void add_worker_command(CLI::App& app, CommandContext& context, const std::string& name,
                        const std::string& about) {
  CLI::App* command = app.add_subcommand(name, about);
  command->prefix_command();
  command->set_help_flag();  // the worker answers --help
  command->callback([command, name, &context] {
    std::vector<std::string> arguments = command->remaining();
    context.json =
        std::find(arguments.begin(), arguments.end(), std::string("--json")) != arguments.end();
    context.exit_code = become_worker(name, with_trial_resolved(std::move(arguments)));
  });
}

}  // namespace finescale
