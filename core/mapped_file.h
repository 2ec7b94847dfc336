// SPDX-License-Identifier: Apache-2.0
// A file's bytes, mapped for reading: only pages that are touched are read. Whoever replaces the
// file by rename does not disturb it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace finescale {

class MappedFile {
 public:
  MappedFile() = default;  // nothing
  // Throws kData when there is no such file or it is not a plain file, kIo when it cannot be read.
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  std::string_view bytes_;
};

}  // namespace finescale
