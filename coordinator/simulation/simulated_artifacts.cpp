// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/simulated_artifacts.h"

#include <utility>

#include "core/crash_point.h"

namespace finescale {

namespace {

constexpr double kFullSeconds = 20;  // until somebody has made room

}  // namespace

std::string stage_of_attempt(const std::string& directory) {
  const std::size_t slash = directory.rfind('/');
  return directory.substr(slash + 1, directory.rfind('-') - slash - 1);
}

double SimulatedArtifacts::saved_seconds(const std::string& directory) const {
  const auto found = attempts_.find(directory);
  return found == attempts_.end() ? 0 : found->second.saved_seconds;
}

std::vector<std::string> SimulatedArtifacts::attempts_of(const std::string& key,
                                                         std::int64_t epoch) const {
  std::vector<std::string> found;
  for (std::int64_t older = epoch - 1; older > 0; --older) {
    std::string directory = attempt_directory(campaign_, key, older);
    if (attempts_.contains(directory)) {
      found.push_back(std::move(directory));
    }
  }
  return found;
}

void SimulatedArtifacts::remove_attempts(const std::string& key, std::int64_t last_epoch) {
  for (std::int64_t epoch = 1; epoch <= last_epoch; ++epoch) {
    if (attempts_.erase(attempt_directory(campaign_, key, epoch)) > 0 &&
        !published_.contains(key)) {
      removed_early_.push_back(key);
    }
  }
}

bool SimulatedArtifacts::adopt(StoredStage& stage) {
  const auto found = published_.find(stage.key);
  if (found == published_.end()) {
    return false;
  }
  stage.state = StageState::kDone;
  stage.error_kind.clear();
  stage.error.clear();
  stage.gang = 0;
  stage.result = found->second;
  return true;
}

void SimulatedArtifacts::fill() {
  full_until_ = clock_.now() + kFullSeconds;
}

std::string SimulatedArtifacts::publish(const proto::CommitRequest& commit,
                                        proto::StageResult& result) {
  const std::string directory = attempt_directory(campaign_, commit.key(), commit.epoch());
  const auto found = attempts_.find(directory);
  if (found == attempts_.end() || commit.attempt_dir() != directory || !found->second.is_complete ||
      found->second.is_torn) {
    return "the attempt's manifest is not what was committed";
  }
  if (is_full()) {
    return "no space left on device";
  }
  crash_point("coordinator.before_publish_artifact");
  result = found->second.result;
  // What is there stays, as with files.
  if (published_.emplace(commit.key(), result.SerializeAsString()).second) {
    unsynced_.emplace_back(directory, found->second);
  }
  attempts_.erase(found);
  crash_point("coordinator.after_publish_artifact");
  return "";
}

void SimulatedArtifacts::sync() {
  if (!unsynced_.empty()) {
    unsynced_.clear();
    crash_point("coordinator.after_artifact_flush");
  }
}

void SimulatedArtifacts::lose_unsynced(const std::function<double()>& uniform) {
  for (auto& [directory, attempt] : std::exchange(unsynced_, {})) {
    if (uniform() < 0.5) {
      published_.erase(stage_of_attempt(directory));
      attempts_[directory] = std::move(attempt);
    }
  }
}

}  // namespace finescale
