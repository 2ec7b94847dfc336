// SPDX-License-Identifier: Apache-2.0
#include "core/files.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/error.h"
#include "core/hash.h"

namespace finescale {
namespace {

class Files : public testing::Test {
 protected:
  std::string directory_ = testing::TempDir() + "finescale_files_" + std::to_string(::getpid());
  void SetUp() override {
    std::filesystem::remove_all(directory_);
    make_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
};

TEST_F(Files, WriteReplacesAtOnceAndLeavesNothingBeside) {
  const std::string path = directory_ + "/a";
  write_file_atomically(path, "one");
  write_file_atomically(path, "two");
  EXPECT_EQ(read_file(path), "two");
  int entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory_)) {
    ++entries;
  }
  EXPECT_EQ(entries, 1);
}

TEST_F(Files, ARefusalBeforeTheRenameChangesNothing) {
  const std::string path = directory_ + "/a";
  write_file_atomically(path, "one");
  bool is_written = false;
  const auto refuse = [&] {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      is_written = is_written || read_file(entry.path().string()) == "two";
    }
    throw Error(ErrorKind::kResource, "not yours");
  };
  EXPECT_THROW(write_file_atomically(path, "two", 0644, refuse), Error);
  EXPECT_TRUE(is_written);
  EXPECT_EQ(read_file(path), "one");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(Files, WhatCannotBeLookedAtIsNotThere) {
  const std::string file = directory_ + "/a";
  write_file_atomically(file, "finescale");
  EXPECT_TRUE(path_exists(file) && path_is_file(file) && !path_is_directory(file));
  EXPECT_TRUE(path_exists(directory_) && path_is_directory(directory_) &&
              !path_is_file(directory_));
  for (const std::string& path : {directory_ + "/none", directory_ + "/" + std::string(300, 'x'),
                                  file + "/below", std::string()}) {
    EXPECT_FALSE(path_exists(path) || path_is_file(path) || path_is_directory(path)) << path;
  }
}

TEST_F(Files, MissingFileIsAnIoErrorThatNamesIt) {
  try {
    (void)read_file(directory_ + "/none");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_NE(std::string(error.what()).find("/none"), std::string::npos);
  }
}

TEST_F(Files, HashOfFileIsHashOfItsBytes) {
  write_file_atomically(directory_ + "/a", "finescale");
  EXPECT_EQ(hash_file(directory_ + "/a"), hash_hex("finescale"));
  EXPECT_EQ(hash_hex("").size(), 32U);
  EXPECT_EQ(hash_hex(""), "99aa06d3014798d86001c324468d497f");  // XXH3-128 of nothing
}

}  // namespace
}  // namespace finescale
