// SPDX-License-Identifier: Apache-2.0
// A gang of one rank with the leader of a real one, which writes real artifacts but works on
// nothing, or sleeps for FINESCALE_NOOP_SECONDS a stage. Stands in for mpirun:
// `resources.launcher.mpirun.program`; takes its arguments.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include "checkpoint/manifest.h"
#include "comm/proto/result.pb.h"
#include "configs/canonical.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "worker/leader.h"

namespace finescale {
namespace {

void execute(Leader& leader, const proto::NextReply& order) {
  config::StageSpec spec;
  parse_canonical(order.stage(), spec);
  leader.begin_stage(spec.key(), order.epoch());
  proto::StageResult result;
  result.set_outcome(proto::StageResult::DONE);
  if (const char* seconds = std::getenv("FINESCALE_NOOP_SECONDS"); seconds != nullptr) {
    std::this_thread::sleep_for(std::chrono::duration<double>(std::atof(seconds)));
  }
  result.set_seconds(0);
  make_directories(order.attempt_dir());
  write_file(order.attempt_dir() + "/result.pb", result.SerializeAsString());
  Manifest manifest;
  manifest.key = spec.key();
  manifest.kind = spec.has_train() ? "train" : "evaluate";
  manifest.epoch = order.epoch();
  const Flush flush = leader.commits_in_groups() ? Flush::kLater : Flush::kNow;
  leader.commit(order.attempt_dir(),
                write_manifest(order.attempt_dir(), manifest, {"result.pb"}, flush), result);
  leader.end_stage();
}

int run_noop(int argc, char** argv) {
  GangOptions options;
  std::map<std::string, std::string> words;
  for (int i = 1; i + 1 < argc; ++i) {
    words[argv[i]] = argv[i + 1];
  }
  options.campaign = words["--campaign"];
  options.gang = std::atoll(words["--gang"].c_str());
  const std::shared_ptr<Logger> logger = make_logger(LogOptions{});
  Leader leader(options, 1, *logger);
  if (!leader.enroll()) {
    return 143;
  }
  for (;;) {
    const proto::NextReply order = leader.next();
    if (order.order() == proto::NextReply::EXIT) {
      return leader.word() == Leader::Word::kOrphaned ? 143 : 0;
    }
    if (order.order() == proto::NextReply::RUN) {
      execute(leader, order);
    }
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  try {
    return finescale::run_noop(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
