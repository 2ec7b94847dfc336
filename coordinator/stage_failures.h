// SPDX-License-Identifier: Apache-2.0
// What becomes of a stage whose attempt has failed or whose artifact is lost, and of those that
// read it: tried again after a back-off, or failed with all that wait for it. One thread.
#pragma once

#include <string>
#include <vector>

#include "coordinator/reactor_actions.h"
#include "coordinator/reactor_options.h"
#include "coordinator/stage_table.h"
#include "core/random.h"

namespace finescale {

// The kind of error of a stage that never ran because of another's.
inline constexpr const char* kInputFailed = "input";

enum class Blame {
  kStage,    // it has used up an attempt
  kOutside,  // taken away from outside: it has not
  kStop,     // the campaign stops: it goes on at the next run
};

class StageFailures {
 public:
  // Both must outlive it.
  StageFailures(const ReactorOptions& options, StageTable& stages)
      : options_(options), jitter_(options.seed, Purpose::kJitter), stages_(stages) {}

  void attempt_failed(StageEntry& stage, const std::string& kind, const std::string& message,
                      Blame blame, double now, Outbox& out);
  // Of a done stage.
  void artifact_lost(StageEntry& stage, const std::string& why, Outbox& out);
  void fail_dependents(const StageEntry& source, const std::string& why, Outbox& out);

  // A pending stage whose input has failed will fail at the next tick: it was planned or queued
  // again behind the failure.
  void doom_if_input_failed(const StageEntry& stage);
  void fail_what_is_doomed(Outbox& out);

 private:
  void try_again(StageEntry& stage, double delay, double now, Outbox& out);

  const ReactorOptions& options_;
  Random jitter_;
  StageTable& stages_;
  std::vector<std::string> doomed_;  // pending while an input has failed
};

}  // namespace finescale
