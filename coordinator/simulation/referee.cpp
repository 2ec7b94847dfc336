// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/referee.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr std::array<std::string_view, kNumTransitions> kTransitionNames = {
    "lease", "commit", "retry", "give up", "doomed", "adopted", "kept"};
constexpr double kMoment = 1e-6;  // clocks are sums of doubles

std::string key_in(const std::string& directory) {  // .../KEY
  return directory.substr(directory.rfind('/') + 1);
}

}  // namespace

std::string_view transition_name(Transition transition) noexcept {
  return kTransitionNames[static_cast<std::size_t>(transition)];
}

void Coverage::add(const Coverage& other) {
  for (std::size_t i = 0; i < kNumFaults; ++i) {
    for (std::size_t j = 0; j < kNumTransitions; ++j) {
      cells[i][j] += other.cells[i][j];
    }
  }
}

int Coverage::num_empty() const {
  int empty = 0;
  for (const auto& row : cells) {
    empty += static_cast<int>(std::count(row.begin(), row.end(), 0));
  }
  return empty;
}

std::string coverage_text(const Coverage& coverage) {
  std::string text = "fault      ";
  char cell[32];
  for (std::size_t j = 0; j < kNumTransitions; ++j) {
    std::snprintf(cell, sizeof cell, "%10s", std::string(kTransitionNames[j]).c_str());
    text += cell;
  }
  for (std::size_t i = 0; i < kNumFaults; ++i) {
    std::snprintf(cell, sizeof cell, "\n%-11s",
                  std::string(fault_name(static_cast<Fault>(i))).c_str());
    text += cell;
    for (const std::int64_t count : coverage.cells[i]) {
      std::snprintf(cell, sizeof cell, "%10lld", static_cast<long long>(count));
      text += cell;
    }
  }
  return text + "\n";
}

void Referee::violation(const std::string& key, const std::string& what) {
  violations_.push_back(key + ": " + what);
}

void Referee::started(std::int64_t epoch) {
  if (epoch <= epoch_) {
    violation("coordinator", "epoch " + std::to_string(epoch) + " was used before");
  }
  epoch_ = epoch;
  for (auto& [key, stage] : stages_) {
    stage.failed_at = -1;  // back-off is of one coordinator's life
  }
}

void Referee::ordered(const std::string& key, const proto::NextReply& order) {
  Seen& stage = stages_[key];
  if (order.epoch() <= stage.lease) {
    violation(key, "was leased twice under epoch " + std::to_string(order.epoch()));
  }
  if (stage.is_accepted || artifacts_.published().contains(key)) {
    violation(key, "was leased although it is done");
  }
  if (++stage.orders > max_attempts_) {
    violation(key, "was leased more often than attempts are allowed");
  }
  for (const std::string& input : order.input_dirs()) {
    if (!artifacts_.published().contains(key_in(input))) {
      violation(key, "was leased before its input " + key_in(input) + " was there");
    }
  }
  const std::vector<std::string> kept = artifacts_.attempts_of(key, order.epoch());
  if (!std::equal(kept.begin(), kept.end(), order.resume_dirs().begin(),
                  order.resume_dirs().end())) {
    violation(key, "was not told of what earlier attempts have saved");
  }
  stage.lease = std::max(stage.lease, order.epoch());
}

void Referee::accepted(const std::string& key) {
  stages_[key].is_accepted = true;
  if (!artifacts_.published().contains(key)) {
    violation(key, "was accepted without an artifact");
  }
}

bool Referee::is_over(const std::string& key, std::int64_t lease) {
  const Seen& stage = stages_[key];
  return lease != stage.lease || stage.state != StageState::kRunning;
}

void Referee::went_on(const std::string& key, bool was_over) {
  if (was_over) {
    violation(key, "a gang was told to go on although its lease is over");
  }
}

void Referee::gives_back(const std::string& key, std::int64_t lease) {
  Seen& stage = stages_[key];
  if (stage.given_back != lease) {
    stage.given_back = lease;
    stage.is_given_back = false;
  }
}

void Referee::kept(const std::string& key, std::int64_t lease) {
  if (lease < stages_[key].lease) {
    violation(key, "a gang was told that its older lease holds");
  }
  count(Transition::kKept, stages_[key]);
}

void Referee::count(Transition transition, const Seen& stage) {
  for (std::size_t fault = 0; fault < kNumFaults; ++fault) {
    coverage_.cells[fault][static_cast<std::size_t>(transition)] += (stage.faults >> fault) & 1;
  }
}

void Referee::changed(const StageEntry& entry, StageState from, double now) {
  const std::string& key = entry.stored.key;
  const StageState to = entry.stored.state;
  Seen& stage = stages_[key];
  stage.state = to;
  if (to == StageState::kRunning) {
    running_.insert(key);
  } else {
    running_.erase(key);
  }
  if (from == StageState::kDone) {  // its artifact is damaged
    stage.is_accepted = false;
    stage.orders = entry.stored.attempts;
  }
  if (to == StageState::kRunning) {
    if (stage.failed_at >= 0 && now < stage.failed_at + retry_delay_ - kMoment) {
      violation(key, "was tried again without back-off");
    }
    stage.failed_at = -1;
  }
  const bool is_back = from == StageState::kRunning && to == StageState::kPending &&
                       stage.given_back == entry.stored.epoch;
  if (is_back && !std::exchange(stage.is_given_back, true)) {
    --stage.orders;
  }
  if (from == StageState::kRunning && to == StageState::kPending && !is_back) {
    stage.failed_at = now;
    if (!is_retryable(error_kind_from_name(entry.stored.error_kind))) {
      violation(key, "waits for another try that cannot help");
    }
  }
  if (from == StageState::kPending && to == StageState::kFailed) {
    for (const StageEntry* source : entry.sources) {
      stage.faults |= stages_[source->stored.key].faults;
    }
    count(Transition::kDoomed, stage);
  } else if (to == StageState::kRunning) {
    count(Transition::kLease, stage);
  } else if (from == StageState::kRunning) {
    count(to == StageState::kDone      ? Transition::kCommit
          : to == StageState::kPending ? Transition::kRetry
                                       : Transition::kGiveUp,
          stage);
  }
}

void Referee::loaded(const StageEntry& entry) {
  Seen& stage = stages_[entry.stored.key];
  const bool was_open = stage.state == StageState::kPending || stage.state == StageState::kRunning;
  if (entry.stored.state == StageState::kDone && was_open) {
    count(Transition::kAdopted, stage);
  }
  stage.state = entry.stored.state;
  if (stage.state == StageState::kRunning) {
    running_.insert(entry.stored.key);
  } else {
    running_.erase(entry.stored.key);
  }
}

void Referee::touched(Fault fault, const std::string& key) {
  if (!key.empty()) {
    stages_[key].faults |= 1U << static_cast<unsigned>(fault);
  }
}

void Referee::touched_running(Fault fault) {
  for (const std::string& key : running_) {
    touched(fault, key);
  }
}

}  // namespace finescale
