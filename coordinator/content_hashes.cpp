// SPDX-License-Identifier: Apache-2.0
#include "coordinator/content_hashes.h"

#include <sys/stat.h>

#include <map>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

struct ContentHashes::Impl {
  std::string file;
  std::map<std::string, std::string> known;  // path + size + time + inode -> hash
  std::map<std::string, std::string> used;   // path -> hash
  bool changed = false;
};

ContentHashes::ContentHashes(std::string cache_file) : impl_(std::make_unique<Impl>()) {
  impl_->file = std::move(cache_file);
  try {
    impl_->known =
        nlohmann::json::parse(read_file(impl_->file)).get<std::map<std::string, std::string>>();
  } catch (const std::exception&) {
    impl_->known.clear();  // a cache: without it files are read again
  }
}

ContentHashes::~ContentHashes() {
  if (impl_->changed && !impl_->file.empty()) {
    try {
      write_file_atomically(impl_->file, nlohmann::json(impl_->known).dump());
    } catch (const std::exception&) {
      impl_->changed = false;  // only a cache
    }
  }
}

std::string ContentHashes::operator()(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return hash_file(path);  // throws what is wrong
  }
  const std::string name = path + "|" + std::to_string(info.st_size) + "|" +
                           std::to_string(info.st_mtim.tv_sec) + "." +
                           std::to_string(info.st_mtim.tv_nsec) + "|" + std::to_string(info.st_ino);
  auto [it, is_new] = impl_->known.emplace(name, "");
  if (is_new) {
    it->second = hash_file(path);
    impl_->changed = true;
  }
  impl_->used[path] = it->second;
  return it->second;
}

std::string ContentHashes::used_text() const {
  return nlohmann::json(impl_->used).dump();
}

void ContentHashes::refuse_changes(const std::string& used_text) const {
  const auto before = nlohmann::json::parse(used_text).get<std::map<std::string, std::string>>();
  for (const auto& [path, hash] : impl_->used) {
    if (const auto found = before.find(path); found != before.end() && found->second != hash) {
      throw Error(ErrorKind::kConfig, "the file is not what it was when this campaign began", path,
                  "put it back, or choose another output (--set output=DIR); nothing was changed");
    }
  }
}

}  // namespace finescale
