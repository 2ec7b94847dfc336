// SPDX-License-Identifier: Apache-2.0
#include "core/foreign_error.h"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include <gtest/gtest.h>

namespace finescale {
namespace {

TEST(ForeignError, WhatTheFileSystemRefusesNamesThePath) {
  const std::string path = "/" + std::string(300, 'x');
  try {
    (void)std::filesystem::file_size(path);
    FAIL();
  } catch (const std::exception& error) {
    const Error known = foreign_error(error);
    EXPECT_EQ(known.kind(), ErrorKind::kIo);
    EXPECT_EQ(known.where(), path);
    EXPECT_EQ(known.message(), "File name too long");
  }
}

TEST(ForeignError, MemoryIsMissingAndTheRestIsADefect) {
  EXPECT_EQ(foreign_error(std::bad_alloc()).kind(), ErrorKind::kResource);
  EXPECT_EQ(foreign_error(std::system_error(std::make_error_code(std::errc::io_error))).kind(),
            ErrorKind::kIo);
  EXPECT_EQ(foreign_error(std::logic_error("no")).kind(), ErrorKind::kInternal);
  EXPECT_EQ(foreign_error(std::logic_error("no")).message(), "no");
}

}  // namespace
}  // namespace finescale
