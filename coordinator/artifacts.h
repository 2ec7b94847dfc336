// SPDX-License-Identifier: Apache-2.0
// Attempts and artifacts of a campaign directory: attempts/<key>-<epoch> becomes artifacts/<key> by
// one rename.
#pragma once

#include <cstdint>
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

// Verifies what a gang committed and publishes it. "" and the result, or why not.
[[nodiscard]] std::string publish_attempt(const std::string& campaign,
                                          const proto::CommitRequest& commit,
                                          proto::StageResult& result);

}  // namespace finescale
