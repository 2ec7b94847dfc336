// SPDX-License-Identifier: Apache-2.0
// Attempts and artifacts of a campaign: attempts/<key>-<epoch> becomes artifacts/<key> by one
// rename. In files; the simulator has them in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "comm/proto/result.pb.h"
#include "coordinator/store.h"

namespace finescale {

[[nodiscard]] std::string attempt_directory(const std::string& campaign, const std::string& key,
                                            std::int64_t epoch);
[[nodiscard]] std::string artifact_directory(const std::string& campaign, const std::string& key);

// Places of attempts before this epoch that still exist, newest first: they may hold checkpoints.
[[nodiscard]] std::vector<std::string> older_attempts(const std::string& campaign,
                                                      const std::string& key, std::int64_t epoch);
void remove_attempts(const std::string& campaign, const std::string& key, std::int64_t last_epoch);

// Whether artifacts/<key> is there and good; then the stage takes its result.
[[nodiscard]] bool adopt_artifact(const std::string& campaign, StoredStage& stage);

// Verifies what a gang committed and publishes it: renames it, and leaves the flush of the names to
// sync_published. "" and the result, or why not.
[[nodiscard]] std::string publish_attempt(const std::string& campaign,
                                          const proto::CommitRequest& commit,
                                          proto::StageResult& result);

// What was published so far stays published if the machine dies now. Throws kIo or kResource.
void sync_published(const std::string& campaign);

// What is wrong with artifacts/<key>, by its checksums; "": nothing.
[[nodiscard]] std::string artifact_damage(const std::string& campaign, const std::string& key);
// artifacts/<key> becomes artifacts/.damaged-<key>, for who wants to look at it; an older one goes.
void discard_artifact(const std::string& campaign, const std::string& key);

class Artifacts {
 public:
  virtual ~Artifacts() = default;
  [[nodiscard]] virtual std::vector<std::string> older_attempts(const std::string& key,
                                                                std::int64_t epoch) = 0;
  virtual void remove_attempts(const std::string& key, std::int64_t last_epoch) = 0;
  [[nodiscard]] virtual bool adopt(StoredStage& stage) = 0;
  [[nodiscard]] virtual std::string publish(const proto::CommitRequest& commit,
                                            proto::StageResult& result) = 0;
  // All that was published is on disk, whatever happens to the machine; else it throws kIo or
  // kResource. Nobody is told of an artifact before.
  virtual void sync() = 0;
  // What is wrong with a published artifact; reads all of it. "": nothing.
  [[nodiscard]] virtual std::string damage(const std::string& key) = 0;
  // Out of the way: it will be made again.
  virtual void discard(const std::string& key) = 0;

 protected:
  Artifacts() = default;
  Artifacts(const Artifacts&) = default;
  Artifacts& operator=(const Artifacts&) = default;
};

// Those of a campaign directory.
[[nodiscard]] std::unique_ptr<Artifacts> make_file_artifacts(const std::string& campaign);

}  // namespace finescale
