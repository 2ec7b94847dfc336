// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <utility>

#include "comm/rpc/address.h"
#include "comm/rpc/endpoint.h"
#include "configs/canonical.h"
#include "coordinator/commands/command.h"
#include "coordinator/store.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_name.h"

namespace finescale {

namespace {

// Nothing when no coordinator of this campaign answers: one that was killed leaves its address
// behind, and its port may be another's by now.
std::optional<proto::ControlReply> ask_coordinator(const std::string& directory,
                                                   proto::ControlRequest request, double timeout) {
  const auto address = read_address(directory);
  if (!address || (is_loopback(address->host) && address->machine != host_name())) {
    return std::nullopt;
  }
  request.set_token(address->token);
  try {
    CoordinatorClient client(*address);
    return client.control(request, timeout);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void require_campaign(const std::string& directory) {
  if (!path_exists(directory + "/store.sqlite")) {
    throw Error(ErrorKind::kConfig, "no campaign is here", directory,
                "give the output directory of a sweep (finescale run)");
  }
}

int stop(const std::string& directory, const std::vector<std::string>& trials) {
  require_campaign(directory);
  proto::ControlRequest request;
  request.set_command("stop");
  request.mutable_trials()->Assign(trials.begin(), trials.end());
  const std::optional<proto::ControlReply> reply = ask_coordinator(directory, request, 10);
  const auto address = read_address(directory);
  if (!reply && address && address->machine != host_name()) {
    throw Error(
        ErrorKind::kResource,
        "its coordinator runs on " + address->machine + ", or did, and does not answer here",
        directory, "stop it there, or end its Slurm job (scancel): it saves first");
  }
  if (!reply) {
    throw Error(ErrorKind::kConfig, "no coordinator runs this campaign", directory,
                "there is nothing to stop");
  }
  if (!reply->ok()) {
    throw Error(ErrorKind::kConfig, reply->message(), directory,
                "finescale results lists the trials");
  }
  std::cerr << reply->message() << "\n";
  return 0;
}

// A stage that diverged has a result: it would diverge again, and what needs it would fail again.
bool is_hopeless(Store& store, const StoredStage& stage,
                 const std::map<std::string, StoredStage>& stages) {
  if (stage.state == StageState::kFailed && !stage.result.empty()) {
    return true;
  }
  config::StageSpec spec;
  parse_canonical(store.spec_of(stage), spec);
  return std::any_of(spec.inputs().begin(), spec.inputs().end(), [&](const std::string& input) {
    const auto found = stages.find(input);
    return found != stages.end() && is_hopeless(store, found->second, stages);
  });
}

// Failed stages become pending again; the next run tries them.
int retry_failed(Store& store) {
  std::map<std::string, StoredStage> stages;
  for (StoredStage& stage : store.stages()) {
    const std::string key = stage.key;
    stages.emplace(key, std::move(stage));
  }
  int count = 0;
  store.begin();
  for (const auto& [key, stage] : stages) {
    if (stage.state == StageState::kFailed && !is_hopeless(store, stage, stages)) {
      StoredStage again = stage;
      again.state = StageState::kPending;
      again.attempts = 0;
      again.error.clear();
      again.error_kind.clear();
      store.put_stage(again);
      ++count;
    }
  }
  store.commit();
  std::cerr << count << " failed stages will be tried again by finescale run\n";
  return 0;
}

// Stopped trials are planned again; their stages go on from where they were saved.
int retry_stopped(Store& store) {
  int count = 0;
  store.begin();
  for (StoredTrial& trial : store.trials()) {
    if (std::exchange(trial.stopped, false)) {
      store.put_trial(trial);
      ++count;
    }
  }
  store.commit();
  std::cerr << count << " stopped trials will go on with finescale run\n";
  return 0;
}

int retry(const std::string& directory, bool stopped) {
  require_campaign(directory);
  proto::ControlRequest request;
  request.set_command("status");
  if (ask_coordinator(directory, request, 2)) {
    throw Error(ErrorKind::kConfig, "a coordinator runs this campaign", directory,
                "stop it first: finescale stop");
  }
  Store store(directory);
  return stopped ? retry_stopped(store) : retry_failed(store);
}

}  // namespace

void add_stop(CLI::App& app, CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("stop", "checkpoint and stop a running campaign, or some of its trials");
  struct Arguments {
    std::string directory;
    std::vector<std::string> trials;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  command->add_option("TRIAL", arguments->trials, "trials; absent: the whole campaign");
  command->callback([arguments, &context] {
    context.exit_code = stop(campaign_directory(arguments->directory), arguments->trials);
  });
}

void add_retry(CLI::App& app, CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("retry", "let the next run try failed trials again, or stopped ones");
  struct Arguments {
    std::string directory;
    bool failed = false;
    bool stopped = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  auto* failed = command->add_flag("--failed", arguments->failed, "failed trials (the default)");
  command->add_flag("--stopped", arguments->stopped, "trials that finescale stop ended")
      ->excludes(failed);
  command->callback([arguments, &context] {
    context.exit_code = retry(campaign_directory(arguments->directory), arguments->stopped);
  });
}

}  // namespace finescale
