// SPDX-License-Identifier: Apache-2.0
#include "coordinator/write_behind.h"

#include <numeric>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace finescale {
namespace {

std::vector<int> first(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// More than may wait: the giver must wait, and is let on.
TEST(WriteBehindTest, DoesItAllInOrder) {
  constexpr int kPieces = 300'000;
  std::vector<int> done;
  WriteBehind behind;
  for (int i = 0; i < kPieces; ++i) {
    behind.add([&done, i] { done.push_back(i); });
  }
  behind.settle();
  EXPECT_EQ(done, first(kPieces));
  EXPECT_GT(behind.busy_seconds(), 0);
}

TEST(WriteBehindTest, SettlesAgainAndAgain) {
  std::vector<int> done;
  WriteBehind behind;
  behind.settle();  // nothing
  for (int i = 0; i < 2000; ++i) {
    behind.add([&done, i] { done.push_back(i); });
    if (i % 100 == 0) {
      behind.settle();
      ASSERT_EQ(done.size(), static_cast<std::size_t>(i) + 1);
    }
  }
}

TEST(WriteBehindTest, EndsWithItsWorkDone) {
  std::vector<int> done;
  {
    WriteBehind behind;
    for (int i = 0; i < 1000; ++i) {
      behind.add([&done, i] { done.push_back(i); });
    }
  }
  EXPECT_EQ(done, first(1000));
}

TEST(WriteBehindTest, DoesNothingMoreAfterAFailure) {
  std::vector<int> done;
  WriteBehind behind;
  const auto give = [&](int i) {
    behind.add([&done, i] {
      if (i == 234) {
        throw std::runtime_error("no space");
      }
      done.push_back(i);
    });
  };
  for (int i = 0; i < 500; ++i) {
    give(i);
  }
  EXPECT_THROW(behind.settle(), std::runtime_error);
  give(500);
  EXPECT_THROW(behind.settle(), std::runtime_error) << "what is lost stays lost";
  EXPECT_EQ(done, first(234));
}

// Not only at the end: a giver with much to give would work for nothing.
TEST(WriteBehindTest, AGiverHearsOfAFailure) {
  WriteBehind behind;
  EXPECT_THROW(
      for (;;) { behind.add([] { throw std::runtime_error("no space"); }); }, std::runtime_error);
}

}  // namespace
}  // namespace finescale
