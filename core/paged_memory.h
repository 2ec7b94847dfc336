// SPDX-License-Identifier: Apache-2.0
// Zeroed memory of the host that takes room only where it has been written to, and can give room
// back: for values that are needed for a while.
#pragma once

#include <cstddef>
#include <utility>

namespace finescale {

class PagedMemory {
 public:
  PagedMemory() = default;                       // nothing
  explicit PagedMemory(std::size_t size_bytes);  // throws kResource
  ~PagedMemory();
  PagedMemory(PagedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  PagedMemory& operator=(PagedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  PagedMemory(const PagedMemory&) = delete;
  PagedMemory& operator=(const PagedMemory&) = delete;

  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

// A mapped file's bytes [begin, begin + size) leave this process's memory; they are read from the
// file again when they are touched again.
void release_pages(const void* begin, std::size_t size) noexcept;
// Zero from here on, and whole pages give back their room. Of PagedMemory.
void clear_pages(void* begin, std::size_t size) noexcept;

}  // namespace finescale
