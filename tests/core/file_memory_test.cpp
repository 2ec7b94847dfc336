// SPDX-License-Identifier: Apache-2.0
#include "core/file_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

constexpr std::size_t kFileSize = std::size_t{3} << 20;

class FileMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      memory_ = FileMemory(default_scratch_directory(), kFileSize);
    } catch (const Error& error) {
      GTEST_SKIP() << describe(error);
    }
  }
  // Pages of the block that the process maps: mincore would tell what the system's cache has.
  [[nodiscard]] std::size_t resident_kib() const {
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    char start[32];
    std::snprintf(start, sizeof(start), "%lx-", reinterpret_cast<unsigned long>(memory_.data()));
    bool inside = false;
    while (std::getline(maps, line)) {
      inside = inside || line.starts_with(start);
      if (inside && line.starts_with("Rss:")) {
        return std::stoul(line.substr(4));
      }
    }
    return 0;
  }
  FileMemory memory_;
};

TEST_F(FileMemoryTest, BeginsAsZeros) {
  EXPECT_EQ(memory_.size_bytes(), kFileSize);
  EXPECT_TRUE(std::all_of(memory_.data(), memory_.data() + kFileSize,
                          [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_F(FileMemoryTest, WhatIsDroppedLeavesTheProcessAndComesBack) {
  std::fill_n(memory_.data(), kFileSize, std::byte{7});
  EXPECT_GE(resident_kib(), kFileSize >> 10);
  memory_.drop({memory_.data(), kFileSize});
  EXPECT_EQ(resident_kib(), 0U);
  memory_.prefetch({memory_.data(), kFileSize});
  EXPECT_EQ(memory_.data()[kFileSize - 1], std::byte{7});
  EXPECT_EQ(std::count(memory_.data(), memory_.data() + kFileSize, std::byte{7}),
            static_cast<std::ptrdiff_t>(kFileSize));
}

TEST_F(FileMemoryTest, APartThatIsDroppedLosesNothingBesideIt) {
  std::fill_n(memory_.data(), kFileSize, std::byte{1});
  memory_.drop({memory_.data() + 5000, 10});
  std::fill_n(memory_.data() + 5000, 10, std::byte{2});
  memory_.drop({memory_.data() + 5003, 4});
  EXPECT_EQ(memory_.data()[4999], std::byte{1});
  EXPECT_EQ(memory_.data()[5000], std::byte{2});
  EXPECT_EQ(memory_.data()[5009], std::byte{2});
  EXPECT_EQ(memory_.data()[5010], std::byte{1});
}

TEST_F(FileMemoryTest, LeavesNoName) {
  const std::string directory =
      testing::TempDir() + "/finescale_file_memory_" + std::to_string(::getpid());
  std::filesystem::create_directory(directory);
  try {
    const FileMemory other(directory, kFileSize);
    EXPECT_TRUE(std::filesystem::is_empty(directory));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResource);  // a TMPDIR in memory
  }
  std::filesystem::remove_all(directory);
}

TEST(FileMemoryErrors, NameTheDirectoryAndTheField) {
  const auto error_of = [](const std::string& directory, std::size_t size) {
    try {
      const FileMemory memory(directory, size);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kResource);
      EXPECT_EQ(error.where(), directory);
      EXPECT_NE(error.hint().find("mesh.scratch"), std::string::npos);
      return error.message();
    }
    return std::string("none");
  };
  EXPECT_NE(error_of("/nowhere/at/all", 1).find("cannot make a file"), std::string::npos);
  EXPECT_NE(error_of(default_scratch_directory(), std::size_t{1} << 50).find("no room for"),
            std::string::npos);
  if (std::filesystem::is_directory("/dev/shm")) {
    const std::string message = error_of("/dev/shm", 1);
    EXPECT_TRUE(message.find("in memory") != std::string::npos ||
                message.find("cannot make") != std::string::npos)
        << message;
  }
}

TEST(FileMemoryErrors, NothingNeedsNoFile) {
  const FileMemory memory("/nowhere/at/all", 0);
  EXPECT_EQ(memory.data(), nullptr);
}

}  // namespace
}  // namespace finescale
