// SPDX-License-Identifier: Apache-2.0
#include "worker/export/new_directory.h"

#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "core/files.h"

namespace finescale {

void refuse_existing(const std::string& target) {
  std::error_code code;
  if (std::filesystem::exists(std::filesystem::symlink_status(target, code))) {
    throw Error(ErrorKind::kConfig, "exists already", target,
                "give another place, or remove it first: nothing is overwritten");
  }
}

NewDirectory::NewDirectory(const std::string& target)
    : target_(std::filesystem::absolute(target).lexically_normal().string()) {
  while (target_.size() > 1 && target_.back() == '/') {
    target_.pop_back();
  }
  refuse_existing(target_);
  path_ = target_ + ".partial." + std::to_string(::getpid());
  make_directories(path_);
}

NewDirectory::~NewDirectory() {
  if (!committed_) {
    std::error_code code;  // what stays behind costs space, not truth
    std::filesystem::remove_all(path_, code);
  }
}

void NewDirectory::commit() {
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    sync_file(entry.path().string());
  }
  sync_directory(path_);
  refuse_existing(target_);
  rename_durably(path_, target_);
  committed_ = true;
}

}  // namespace finescale
