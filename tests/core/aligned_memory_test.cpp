// SPDX-License-Identifier: Apache-2.0
#include "core/aligned_memory.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

namespace finescale {
namespace {

TEST(AlignedMemory, IsAlignedAndWritableToItsEnd) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{64}, std::size_t{4} << 20, (std::size_t{9} << 20) + 4}) {
    void* const memory = allocate_aligned(size);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % kMemoryAlignment, 0U) << size;
    std::memset(memory, 1, size);
    EXPECT_EQ(static_cast<const char*>(memory)[size - 1], 1);
    std::free(memory);
  }
}

}  // namespace
}  // namespace finescale
