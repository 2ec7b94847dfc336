// SPDX-License-Identifier: Apache-2.0
// Data of a checkpoint moves by positioned reads and writes beside HDF5, which only makes and reads
// the structure: several ranks, threads and a background writer then work at once.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"
#include "core/unique_handle.h"

namespace finescale {

[[nodiscard]] Error no_space();              // without a place yet
[[nodiscard]] Error system_error(int code);  // of an errno: kResource where the user can help

// Runs body; an Error without a place gets `path` as its place, and kCheckpoint becomes
// `otherwise`.
void in_place(const std::string& path, const std::function<void()>& body,
              ErrorKind otherwise = ErrorKind::kCheckpoint);

class RawFile {
 public:
  [[nodiscard]] static RawFile for_reading(const std::string& path);
  [[nodiscard]] static RawFile for_writing(const std::string& path);  // it exists
  [[nodiscard]] static RawFile create(const std::string& path);       // empty

  void read_at(void* data, std::size_t size, std::int64_t offset) const;  // kCheckpoint: too short
  // Every few MiB the system is told to start writing back, so that the disk works while data is
  // still being copied.
  void write_at(const void* data, std::size_t size, std::int64_t offset);
  // Takes the space of the first `size` bytes now: a full disk is found before anything is written.
  void reserve_space(std::int64_t size);
  [[nodiscard]] std::int64_t size() const;
  void sync();

 private:
  struct Traits {
    using Handle = int;
    static Handle invalid() noexcept { return -1; }
    static void destroy(Handle handle) noexcept { ::close(handle); }
  };
  static RawFile open(const std::string& path, int flags);
  explicit RawFile(int descriptor) noexcept : descriptor_(descriptor) {}

  UniqueHandle<Traits> descriptor_;
  std::int64_t dirty_begin_ = 0;  // written since write-back was last started
  std::int64_t dirty_end_ = 0;
  std::int64_t dirty_bytes_ = 0;
};

}  // namespace finescale
