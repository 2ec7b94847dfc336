// SPDX-License-Identifier: Apache-2.0
#include "core/paged_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace finescale {
namespace {

constexpr std::size_t kSize = std::size_t{8} << 20;

// Pages that the process holds, in all.
std::size_t resident_kib() {
  std::size_t pages = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

TEST(PagedMemory, TakesRoomWhereItIsWrittenAndGivesItBack) {
  const std::size_t before = resident_kib();
  const PagedMemory memory(kSize);
  auto* const bytes = static_cast<char*>(memory.data());
  EXPECT_LT(resident_kib(), before + kSize / 1024 / 4);
  std::fill(bytes, bytes + kSize, 1);
  EXPECT_GT(resident_kib(), before + kSize / 1024 * 3 / 4);
  clear_pages(bytes + 100, kSize - 300);
  EXPECT_LT(resident_kib(), before + kSize / 1024 / 4);
  // What lies beside stays, to the byte.
  EXPECT_EQ(std::count(bytes, bytes + 100, 1), 100);
  EXPECT_EQ(std::count(bytes + 100, bytes + kSize - 200, 0),
            static_cast<std::ptrdiff_t>(kSize) - 300);
  EXPECT_EQ(std::count(bytes + kSize - 200, bytes + kSize, 1), 200);
}

TEST(PagedMemory, LessThanAPageIsClearedToo) {
  const PagedMemory memory(kSize);
  auto* const bytes = static_cast<char*>(memory.data());
  std::fill(bytes, bytes + kSize, 1);
  clear_pages(bytes + 5000, 10);
  EXPECT_EQ(std::count(bytes, bytes + kSize, 0), 10);
}

}  // namespace
}  // namespace finescale
