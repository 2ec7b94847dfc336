// SPDX-License-Identifier: Apache-2.0
#include "coordinator/artifacts.h"

#include <filesystem>
#include <utility>

#include "checkpoint/manifest.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

std::string attempt_directory(const std::string& campaign, const std::string& key,
                              std::int64_t epoch) {
  return campaign + "/attempts/" + key + "-" + std::to_string(epoch);
}

std::string artifact_directory(const std::string& campaign, const std::string& key) {
  return campaign + "/artifacts/" + key;
}

std::vector<std::string> older_attempts(const std::string& campaign, const std::string& key,
                                        std::int64_t epoch) {
  std::vector<std::string> found;
  for (std::int64_t older = epoch - 1; older > 0; --older) {
    std::string place = attempt_directory(campaign, key, older);
    if (path_exists(place)) {
      found.push_back(std::move(place));
    }
  }
  return found;
}

void remove_attempts(const std::string& campaign, const std::string& key, std::int64_t last_epoch) {
  for (std::int64_t epoch = 1; epoch <= last_epoch; ++epoch) {
    std::error_code code;  // what stays behind costs space, not truth
    std::filesystem::remove_all(attempt_directory(campaign, key, epoch), code);
  }
}

bool adopt_artifact(const std::string& campaign, StoredStage& stage) {
  const std::string artifact = artifact_directory(campaign, stage.key);
  if (!path_exists(artifact + "/manifest.json") || !verify_manifest(artifact, false).empty() ||
      read_manifest(artifact).key != stage.key) {
    return false;
  }
  proto::StageResult result;
  if (!result.ParseFromString(read_file(artifact + "/result.pb"))) {
    return false;
  }
  const bool diverged = result.outcome() == proto::StageResult::DIVERGED;
  stage.state = diverged ? StageState::kFailed : StageState::kDone;
  stage.error_kind = diverged ? "diverged" : "";
  stage.error = diverged ? result.why() : "";
  stage.gang = 0;
  stage.result = result.SerializeAsString();
  return true;
}

std::string publish_attempt(const std::string& campaign, const proto::CommitRequest& commit,
                            proto::StageResult& result) {
  const std::string attempt = attempt_directory(campaign, commit.key(), commit.epoch());
  try {
    if (commit.attempt_dir() != attempt ||
        hash_file(attempt + "/manifest.json") != commit.manifest_hash()) {
      return "the attempt's manifest is not what was committed";
    }
    if (const auto problems = verify_manifest(attempt, false); !problems.empty()) {
      return problems.front();
    }
    if (read_manifest(attempt).key != commit.key()) {
      return "the attempt's manifest names another stage";
    }
    if (!result.ParseFromString(read_file(attempt + "/result.pb"))) {
      return "result.pb cannot be read";
    }
    crash_point("coordinator.before_publish_artifact");
    (void)publish_artifact(attempt, artifact_directory(campaign, commit.key()), Flush::kLater);
    crash_point("coordinator.after_publish_artifact");
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

void sync_published(const std::string& campaign) {
  sync_directory(campaign + "/artifacts");
  sync_directory(campaign + "/attempts");  // the names that they had are gone for good
}

std::string artifact_damage(const std::string& campaign, const std::string& key) {
  const std::string artifact = artifact_directory(campaign, key);
  try {
    const std::vector<std::string> problems = verify_manifest(artifact, true);
    if (!problems.empty()) {
      return problems.front();
    }
    return read_manifest(artifact).key == key ? "" : "its manifest names another stage";
  } catch (const Error& error) {
    return error.what();
  }
}

void discard_artifact(const std::string& campaign, const std::string& key) {
  const std::string damaged = artifact_directory(campaign, ".damaged-" + key);
  std::error_code code;  // what cannot be moved is found damaged again
  std::filesystem::remove_all(damaged, code);
  std::filesystem::rename(artifact_directory(campaign, key), damaged, code);
}

namespace {

class FileArtifacts : public Artifacts {
 public:
  explicit FileArtifacts(std::string campaign) : campaign_(std::move(campaign)) {}
  [[nodiscard]] std::vector<std::string> older_attempts(const std::string& key,
                                                        std::int64_t epoch) override {
    return finescale::older_attempts(campaign_, key, epoch);
  }
  void remove_attempts(const std::string& key, std::int64_t last_epoch) override {
    finescale::remove_attempts(campaign_, key, last_epoch);
  }
  [[nodiscard]] bool adopt(StoredStage& stage) override { return adopt_artifact(campaign_, stage); }
  [[nodiscard]] std::string publish(const proto::CommitRequest& commit,
                                    proto::StageResult& result) override {
    is_synced_ = false;
    return publish_attempt(campaign_, commit, result);
  }
  void sync() override {
    if (!is_synced_) {
      sync_published(campaign_);
      is_synced_ = true;
      crash_point("coordinator.after_artifact_flush");
    }
  }
  [[nodiscard]] std::string damage(const std::string& key) override {
    return artifact_damage(campaign_, key);
  }
  void discard(const std::string& key) override { discard_artifact(campaign_, key); }

 private:
  std::string campaign_;
  bool is_synced_ = true;
};

}  // namespace

std::unique_ptr<Artifacts> make_file_artifacts(const std::string& campaign) {
  return std::make_unique<FileArtifacts>(campaign);
}

}  // namespace finescale
