// SPDX-License-Identifier: Apache-2.0
// Runs one stage on the gang's ranks and leaves a finished artifact in the attempt's directory.
// Resident: the frozen base, tokenized datasets and the last model stay loaded between stages, and
// none of that changes a bit.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "comm/group.h"
#include "comm/proto/gang.pb.h"
#include "comm/proto/result.pb.h"
#include "configs/schema/stage.pb.h"
#include "core/log.h"

namespace finescale {

struct AttemptPlace {
  std::string attempt_dir;               // private; exists
  std::vector<std::string> resume_dirs;  // may hold step-<n>.h5 of older attempts, newest first
  std::vector<std::string> input_dirs;   // artifact directories of StageSpec.inputs, same order
  std::int64_t epoch = 0;
  Flush flush = Flush::kNow;  // of the artifact; rank 0's counts
};

struct StageHooks {
  // Called on every rank after each step and between evaluation batches; the answer of rank 0
  // counts (it is broadcast at step boundaries). True: stop, save, return STOPPED.
  std::function<bool(const proto::Progress&)> on_progress;
};

struct ExecutorOptions {
  int threads = 1;
  std::string device = "auto";
  std::int64_t gang = 0;             // its number: which GPUs of a host it takes
  std::string cache_directory = "";  // for tokens; empty: they are kept in memory
};

class StageExecutor {
 public:
  StageExecutor(Group& world, const ExecutorOptions& options, Logger& logger);
  ~StageExecutor();
  StageExecutor(const StageExecutor&) = delete;
  StageExecutor& operator=(const StageExecutor&) = delete;

  // Collective over world. On DONE and DIVERGED the attempt directory holds the artifact with its
  // manifest (rank 0's result is complete; other ranks return the same numbers). Throws Error
  // otherwise.
  [[nodiscard]] proto::StageResult execute(const config::StageSpec& spec, const AttemptPlace& place,
                                           const StageHooks& hooks);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
