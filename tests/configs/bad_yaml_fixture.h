// SPDX-License-Identifier: Apache-2.0
// A valid sweep with one line changed, and what is said of it, letter for letter.
#pragma once

#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

#include "tests/configs/sweep_fixture.h"

namespace finescale {

struct Bad {
  std::size_t line;
  const char* text;
  const char* error;
};

class BadYaml : public SweepTest {
 protected:
  static void expect(const std::vector<Bad>& table) {
    for (const Bad& bad : table) {
      EXPECT_EQ(error_of(with_line(bad.line, bad.text)), bad.error) << bad.text;
    }
  }
};

}  // namespace finescale
