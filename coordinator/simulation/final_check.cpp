// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/final_check.h"

#include "core/error.h"

namespace finescale {

void FinalCheck::stages(const StageEntries& stages) {
  for (const StageEntry& entry : stages) {
    if (entry.stored.label == "trunk" && entry.stored.state == StageState::kDone) {
      trunk_tokens_.insert(duties_.tokens(entry.stored.key));
    }
  }
  for (const StageEntry& entry : stages) {
    stage(entry.stored);
    const StoredStage& stored = entry.stored;
    said_.emplace(stored.key, Said{stored.state, stored.epoch, stored.attempts,
                                   std::hash<std::string>()(stored.result)});
  }
}

void FinalCheck::stage(const StoredStage& stored) {
  if (faults_are_harmless_ && stored.attempts > 0) {
    violation(stored.key, "lost an attempt to nothing: " + stored.error);
  }
  if (stored.state == StageState::kFailed) {
    ++failed_stages_;
    const bool may_be_tried =
        stored.error_kind != kInputFailed && is_retryable(error_kind_from_name(stored.error_kind));
    if (may_be_tried && stored.attempts < max_attempts_) {
      violation(stored.key, "failed after " + std::to_string(stored.attempts) + " attempts");
    }
    return;
  }
  if (stored.state != StageState::kDone) {
    return violation(stored.key,
                     std::string("is ") + stage_state_name(stored.state) + " at the end");
  }
  proto::StageResult result;
  (void)result.ParseFromString(stored.result);
  if (result.tokens() != duties_.tokens(stored.key)) {
    violation(stored.key, "counts other tokens than it trained on");
  }
  // Of a trunk; which one may have changed with a later plan.
  if (result.has_inherited() && !trunk_tokens_.contains(result.inherited().tokens())) {
    violation(stored.key, "took over what no trunk has done");
  }
}

void FinalCheck::stored_state(const std::string& key, StageState state) {
  if (!stored_.emplace(key, state).second) {
    violation(key, "is in the store twice");
  }
  const auto known = said_.find(key);
  const bool is_open = state == StageState::kPending || state == StageState::kRunning;
  if (known == said_.end() ? is_open : known->second.state != state) {
    violation(key, std::string("is ") + stage_state_name(state) + " in the store");
  }
}

void FinalCheck::store(Store& store, bool thorough) {
  if (thorough) {
    for (const StoredStage& one : store.stages()) {
      stored_state(one.key, one.state);
      const auto known = said_.find(one.key);
      if (known != said_.end() &&
          (std::hash<std::string>()(one.result) != known->second.result ||
           one.epoch != known->second.epoch || one.attempts != known->second.attempts)) {
        violation(one.key, "has another lease, count of attempts or result in the store");
      }
    }
  } else {
    for (const auto& [key, state] : store.states()) {
      stored_state(key, state);
    }
  }
  for (const auto& [key, stage] : said_) {
    if (!stored_.contains(key)) {
      violation(key, "is not in the store");
    }
  }
}

void FinalCheck::journal(Store& store, std::size_t trials) {
  const std::size_t decided = store.decisions().size();
  if (decided != trials) {
    violation("search", "decided on " + std::to_string(trials) + " trials and journalled " +
                            std::to_string(decided));
  }
}

void FinalCheck::artifacts(const SimulatedArtifacts& artifacts) {
  for (const auto& [key, result] : artifacts.published()) {
    const auto state = stored_.find(key);
    if (state == stored_.end() || state->second != StageState::kDone) {
      violation(key, "has an artifact, but is not done");
    }
  }
  for (const auto& [key, state] : stored_) {
    if (state == StageState::kDone && !artifacts.published().contains(key)) {
      violation(key, "is done, but has no artifact");
    }
  }
  for (const std::string& key : artifacts.removed_early()) {
    violation(key, "its attempts were removed before it was done");
  }
}

}  // namespace finescale
