// SPDX-License-Identifier: Apache-2.0
// The memory of one fiber.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace finescale::cuda::emulation {

constexpr std::size_t kStackBytes = 256 * 1024;  // sanitized frames are large

class Stack {
 public:
  Stack()
      : memory_(::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (memory_ == MAP_FAILED) {
      throw std::bad_alloc();
    }
    ::mprotect(memory_, 4096, PROT_NONE);  // guard page: an overflow faults
  }
  ~Stack() {
    forget_frames();
    ::munmap(memory_, kStackBytes);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  // A thread of a block that failed left some.
  void forget_frames() const {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(bottom(), usable());
#endif
  }
  [[nodiscard]] char* bottom() const {
    return static_cast<char*>(memory_) + 4096;
  }
  [[nodiscard]] char* top() const {
    return static_cast<char*>(memory_) + kStackBytes;
  }
  static std::size_t usable() {
    return kStackBytes - 4096;
  }

 private:
  void* memory_;
};

}  // namespace finescale::cuda::emulation
