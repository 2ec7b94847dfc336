// SPDX-License-Identifier: Apache-2.0
#include "tests/allocation_watch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): operators have no other way
std::atomic<std::size_t> largest = 0;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::atomic<std::int64_t> num_asked = 0;
#else
std::atomic<std::int64_t> num_asked = -1;
#endif
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t size) {
  largest = std::max<std::size_t>(largest, size);
  ++num_asked;
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

std::int64_t num_allocations() {
  return num_asked;
}

}  // namespace finescale
