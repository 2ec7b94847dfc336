// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/allocation_watch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): operators have no other way
std::atomic<std::size_t> largest = 0;

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t size) {
  largest = std::max<std::size_t>(largest, size);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace finescale {

void reset_largest_allocation() {
  largest = 0;
}

std::size_t largest_allocation() {
  return largest;
}

}  // namespace finescale
