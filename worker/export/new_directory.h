// SPDX-License-Identifier: Apache-2.0
// A directory that is made beside its place and put there whole, or not at all.
#pragma once

#include <string>

namespace finescale {

class NewDirectory {
 public:
  // Throws kConfig when something is at `target` already: nothing is ever overwritten.
  explicit NewDirectory(const std::string& target);
  ~NewDirectory();  // removes what was not committed
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;

  // Where to write.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Flushes every file and renames.
  void commit();

 private:
  std::string target_;
  std::string path_;
  bool committed_ = false;
};

// Throws kConfig when the path exists.
void refuse_existing(const std::string& target);

}  // namespace finescale
