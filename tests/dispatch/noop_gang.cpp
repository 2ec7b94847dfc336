// SPDX-License-Identifier: Apache-2.0
// A gang of one rank that follows the protocol of a real one and writes real artifacts, but works
// on nothing. Stands in for mpirun: `resources.launcher.mpirun.program`; takes its arguments.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "checkpoint/manifest.h"
#include "comm/proto/result.pb.h"
#include "comm/rpc/address.h"
#include "comm/rpc/client.h"
#include "configs/canonical.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

constexpr double kDeadlineSeconds = 30;

class NoopGang {
 public:
  NoopGang(const CoordinatorAddress& address, std::int64_t gang)
      : address_(address), gang_(gang), client_(address) {}

  void run() {
    proto::RegisterRequest hello = from<proto::RegisterRequest>();
    hello.set_ranks(1);
    hello.set_host(machine_name());
    hello.set_pid(::getpid());
    if (!client_.enroll(hello, kDeadlineSeconds).accepted()) {
      throw Error(ErrorKind::kProtocol, "not accepted");
    }
    for (;;) {
      const proto::NextReply order = client_.next(from<proto::NextRequest>(), kDeadlineSeconds);
      if (order.order() == proto::NextReply::EXIT) {
        return;
      }
      if (order.order() == proto::NextReply::RUN) {
        execute(order);
      }
    }
  }

 private:
  template <class Request>
  Request from() {
    Request request;
    proto::Caller& caller = *request.mutable_caller();
    caller.set_token(address_.token);
    caller.set_coordinator_epoch(address_.epoch);
    caller.set_gang(gang_);
    caller.set_number(++number_);
    return request;
  }

  void execute(const proto::NextReply& order) {
    config::StageSpec spec;
    parse_canonical(order.stage(), spec);
    proto::StageResult result;
    result.set_outcome(proto::StageResult::DONE);
    make_directories(order.attempt_dir());
    std::ofstream(order.attempt_dir() + "/result.pb") << result.SerializeAsString();
    Manifest manifest;
    manifest.key = spec.key();
    manifest.kind = spec.has_train() ? "train" : "evaluate";
    manifest.epoch = order.epoch();
    proto::CommitRequest commit = from<proto::CommitRequest>();
    commit.set_manifest_hash(write_manifest(order.attempt_dir(), manifest, {"result.pb"}));
    commit.set_key(spec.key());
    commit.set_epoch(order.epoch());
    commit.set_attempt_dir(order.attempt_dir());
    *commit.mutable_result() = result;
    const proto::CommitReply reply = client_.commit(commit, kDeadlineSeconds);
    if (!reply.accepted()) {
      std::cerr << "refused: " << reply.why() << "\n";
    }
  }

  CoordinatorAddress address_;
  std::int64_t gang_;
  std::int64_t number_ = 0;
  CoordinatorClient client_;
};

int run_gang(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; ++i) {
    options[argv[i]] = argv[i + 1];
  }
  const std::optional<CoordinatorAddress> address = read_address(options["--campaign"]);
  if (!address) {
    std::cerr << "no coordinator\n";
    return 3;
  }
  NoopGang(*address, std::atoll(options["--gang"].c_str())).run();
  return 0;
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  try {
    return finescale::run_gang(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
