// SPDX-License-Identifier: Apache-2.0
// Hash of a file's content, remembered by path, size, time and inode in a cache file; for planning.
#pragma once

#include <memory>
#include <string>

namespace finescale {

class ContentHashes {
 public:
  explicit ContentHashes(std::string cache_file);  // "": nothing is remembered
  ~ContentHashes();
  ContentHashes(const ContentHashes&) = delete;
  ContentHashes& operator=(const ContentHashes&) = delete;
  [[nodiscard]] std::string operator()(const std::string& path);
  // JSON of path -> hash of every file asked for, to be stored and compared with by a later run.
  [[nodiscard]] std::string used_text() const;
  // Throws kConfig naming the file whose content is not what that text says.
  void refuse_changes(const std::string& used_text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
