// SPDX-License-Identifier: Apache-2.0
// A whole file mapped for reading. It stays readable when the file is replaced or unlinked.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace finescale {

class MappedFile {
 public:
  MappedFile() = default;                        // nothing
  explicit MappedFile(const std::string& path);  // throws kIo; an empty file maps to nothing
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace finescale
