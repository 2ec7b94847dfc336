// SPDX-License-Identifier: Apache-2.0
#include "core/aligned_memory.h"

#include <sys/mman.h>

#include <cstdlib>

namespace finescale {

void* allocate_aligned(std::size_t size_bytes) noexcept {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  constexpr std::size_t kLarge = 2 * kHugePage;  // below, aligning costs more than it saves
  const bool large = size_bytes >= kLarge;
  const std::size_t rounded =
      (size_bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
  void* memory = nullptr;  // aligned_alloc wants a multiple of the alignment
  if (::posix_memalign(&memory, large ? kHugePage : kMemoryAlignment, rounded) != 0) {
    return nullptr;
  }
#ifdef MADV_HUGEPAGE
  if (large) {  // the rest keeps small pages: no more is resident than is used
    ::madvise(memory, size_bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish: may fail
  }
#endif
  return memory;
}

}  // namespace finescale
