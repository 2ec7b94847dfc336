// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "comm/rpc/address.h"
#include "coordinator/commands/command.h"
#include "coordinator/store.h"
#include "core/error.h"

namespace finescale {

namespace {

int stop(const std::string& directory, const std::vector<std::string>& trials) {
  const auto address = read_address(directory);
  if (!address) {
    throw Error(ErrorKind::kConfig, "no coordinator runs this campaign", directory,
                "there is nothing to stop");
  }
  CoordinatorClient client(*address);
  proto::ControlRequest request;
  request.set_token(address->token);
  request.set_command("stop");
  for (const std::string& trial : trials) {
    request.add_trials(trial);
  }
  const proto::ControlReply reply = client.control(request, 10);
  if (!reply.ok()) {
    throw Error(ErrorKind::kConfig, reply.message());
  }
  std::cerr << reply.message() << "\n";
  return 0;
}

// A coordinator that was killed leaves its address behind.
bool is_alive(const std::string& directory) {
  const auto address = read_address(directory);
  if (!address) {
    return false;
  }
  try {
    CoordinatorClient client(*address);
    proto::ControlRequest request;
    request.set_token(address->token);
    request.set_command("status");
    return client.control(request, 2).ok();
  } catch (const Error&) {
    return false;
  }
}

// Failed stages become pending again; the next run tries them.
int retry(const std::string& directory) {
  if (is_alive(directory)) {
    throw Error(ErrorKind::kConfig, "a coordinator runs this campaign", directory,
                "stop it first: finescale stop");
  }
  Store store(directory);
  int count = 0;
  store.begin();
  for (StoredStage& stage : store.stages()) {
    if (stage.state == StageState::kFailed &&
        stage.result.empty()) {  // a diverged stage has a result: it would diverge again
      stage.state = StageState::kPending;
      stage.attempts = 0;
      stage.error.clear();
      stage.error_kind.clear();
      store.put_stage(stage);
      ++count;
    }
  }
  store.commit();
  std::cerr << count << " failed stages will be tried again by finescale run\n";
  return 0;
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
  command->add_option("DIR", arguments->directory, "campaign directory")->required();
  command->add_option("TRIAL", arguments->trials, "trials; absent: the whole campaign");
  command->callback(
      [arguments, &context] { context.exit_code = stop(arguments->directory, arguments->trials); });
}

void add_retry(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("retry", "let the next run try failed trials again");
  struct Arguments {
    std::string directory;
    bool failed = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  command->add_flag("--failed", arguments->failed,
                    "failed trials (the only choice, and the default)");
  command->callback([arguments, &context] {
    context.exit_code = retry(campaign_directory(arguments->directory));
  });
}

}  // namespace finescale
