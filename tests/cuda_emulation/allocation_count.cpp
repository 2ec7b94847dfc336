// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): operators have no other way
std::atomic<std::int64_t> num_asked = 0;

}  // namespace

void* operator new(std::size_t size) {
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

std::int64_t finescale::num_allocations() {
  return num_asked;
}
#else
std::int64_t finescale::num_allocations() {
  return -1;
}
#endif
