// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <system_error>

#include "checkpoint/manifest.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

// Out of the way but kept: someone may want to know what broke it. `n` is the first that is free.
void move_aside(const std::string& directory) {
  for (int n = 1;; ++n) {
    const std::string aside = directory + ".broken-" + std::to_string(n);
    if (!std::filesystem::exists(std::filesystem::symlink_status(aside))) {
      rename_durably(directory, aside);
      return;
    }
  }
}

}  // namespace

bool publish_artifact(const std::string& attempt_dir, const std::string& artifact_dir,
                      Flush flush) {
  if (std::filesystem::exists(std::filesystem::symlink_status(artifact_dir))) {
    if (verify_manifest(artifact_dir, false).empty()) {
      return false;
    }
    move_aside(artifact_dir);
  }
  const std::vector<std::string> problems = verify_manifest(attempt_dir, false);
  if (!problems.empty()) {
    throw Error(ErrorKind::kCheckpoint, "an attempt cannot be published: " + problems.front(),
                attempt_dir);
  }
  if (flush == Flush::kLater) {
    rename_path(attempt_dir, artifact_dir);
    return true;
  }
  rename_durably(attempt_dir, artifact_dir);
  const std::string from = std::filesystem::path(attempt_dir).parent_path().string();
  sync_directory(from.empty() ? "." : from);  // the name it had is gone for good
  return true;
}

}  // namespace finescale
