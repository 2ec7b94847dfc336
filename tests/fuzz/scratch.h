// SPDX-License-Identifier: Apache-2.0
// A directory of this process for readers that take paths; removed at its end.
#pragma once

#include <string>
#include <string_view>

namespace finescale {

class ScratchDirectory {
 public:
  ScratchDirectory();  // below TMPDIR, best on a file system in memory
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Replaces the file; its path.
  std::string write(const std::string& name, std::string_view bytes) const;

 private:
  std::string path_;
};

}  // namespace finescale
