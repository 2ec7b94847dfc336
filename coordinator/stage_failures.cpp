// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_failures.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace finescale {

void StageFailures::attempt_failed(StageEntry& stage, const std::string& kind,
                                   const std::string& message, Blame blame, double now,
                                   Outbox& out) {
  stage.stored.gang = 0;
  stage.stored.error_kind = kind;
  stage.stored.error = message;
  if (blame == Blame::kStop) {
    stages_.set_state(stage, StageState::kPending);
    out.push_back(SaveStage{stage.stored.key});
    return;
  }
  if (blame == Blame::kOutside) {
    return try_again(stage, options_.retry_delay, now, out);
  }
  ++stage.stored.attempts;
  if (is_retryable(error_kind_from_name(kind)) && stage.stored.attempts < options_.max_attempts) {
    const double delay = std::min(options_.retry_delay_max,
                                  options_.retry_delay * std::exp2(stage.stored.attempts - 1));
    return try_again(stage, delay, now, out);
  }
  stages_.set_state(stage, StageState::kFailed);
  out.push_back(SaveStage{stage.stored.key});
  fail_dependents(stage, stage.stored.label + ": " + message, out);
}

// Up to a quarter of jitter, so that many stages of one lost node do not come back at once.
void StageFailures::try_again(StageEntry& stage, double delay, double now, Outbox& out) {
  stages_.set_pending(stage, now + delay * (1 + 0.25 * jitter_.uniform()));
  doom_if_input_failed(stage);
  out.push_back(SaveStage{stage.stored.key});
}

void StageFailures::artifact_lost(StageEntry& stage, const std::string& why, Outbox& out) {
  stage.stored.result.clear();
  stage.stored.error_kind = "checkpoint";
  stage.stored.error = "its artifact is damaged: " + why;
  // Inputs that this plan has not are trunks of an earlier one that nobody else needs.
  const auto unmade = std::count_if(
      stage.sources.begin(), stage.sources.end(),
      [](const StageEntry* source) { return source->stored.state != StageState::kDone; });
  const bool can_run = stage.missing == unmade;
  stages_.set_state(stage, can_run ? StageState::kPending : StageState::kFailed);
  out.push_back(SaveStage{stage.stored.key});
  if (can_run) {
    doom_if_input_failed(stage);
  } else {
    fail_dependents(stage, stage.stored.error, out);
  }
}

void StageFailures::fail_dependents(const StageEntry& source, const std::string& why, Outbox& out) {
  for (StageEntry* stage : source.readers) {
    if (stage->stored.state == StageState::kPending) {
      stages_.set_state(*stage, StageState::kFailed);
      stage->stored.error_kind = kInputFailed;
      stage->stored.error = "its input failed: " + why;
      out.push_back(SaveStage{stage->stored.key});
      fail_dependents(*stage, why, out);
    }
  }
}

void StageFailures::doom_if_input_failed(const StageEntry& stage) {
  const bool is_doomed = std::any_of(
      stage.sources.begin(), stage.sources.end(),
      [](const StageEntry* source) { return source->stored.state == StageState::kFailed; });
  if (is_doomed && stage.stored.state == StageState::kPending) {
    doomed_.push_back(stage.stored.key);
  }
}

// Dependents fail in the transaction after the failure itself; a coordinator that died between the
// two left them pending. So are stages that are planned behind a failure.
void StageFailures::fail_what_is_doomed(Outbox& out) {
  for (const std::string& key : std::exchange(doomed_, {})) {
    for (StageEntry* source : stages_.find(key)->sources) {
      if (source->stored.state == StageState::kFailed) {
        fail_dependents(*source, source->stored.label + ": " + source->stored.error, out);
      }
    }
  }
}

}  // namespace finescale
