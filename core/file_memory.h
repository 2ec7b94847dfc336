// SPDX-License-Identifier: Apache-2.0
// Memory that lies in a file without a name, gone with its owner: mapped, so that a part of it is
// in the process while it is used and in the file (or the system's cache of it) else. One thread at
// a time calls; views into it are plain memory. The system ends a process that touches a page whose
// disk fails (SIGBUS).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace finescale {

class FileMemory {
 public:
  FileMemory() = default;  // nothing
  // Zeros, in a file of this directory that has its space from now on. Throws kResource, naming the
  // directory: it is missing, cannot be written, is full, or is itself kept in memory.
  FileMemory(const std::string& directory, std::size_t size_bytes);
  ~FileMemory();
  FileMemory(FileMemory&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  FileMemory& operator=(FileMemory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  FileMemory(const FileMemory&) = delete;
  FileMemory& operator=(const FileMemory&) = delete;

  [[nodiscard]] std::byte* data() const noexcept { return bytes_.data(); }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return bytes_.size(); }

  // The bytes will be used soon: the system starts to read them.
  void prefetch(std::span<const std::byte> bytes) const noexcept;
  // The pages of these bytes leave the process; what was written to them stays in the file.
  void drop(std::span<const std::byte> bytes) const noexcept;

 private:
  std::span<std::byte> bytes_;
};

// Where such files go when nobody says: $TMPDIR, else /var/tmp, which is on a disk where /tmp may
// not be.
[[nodiscard]] std::string default_scratch_directory();

}  // namespace finescale
