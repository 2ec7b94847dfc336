// SPDX-License-Identifier: Apache-2.0
#include "sharding/ordered_reduce.h"

#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/parallel.h"
#include "tests/sharding/tree_reference.h"

namespace finescale {
namespace {

template <class T>
constexpr DType kType = sizeof(T) == 4 ? DType::kF32 : DType::kF64;

template <class T>
std::vector<T> values_of(int rank, std::int64_t count) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(leaf_value<T>(rank, i));
  }
  return values;
}

template <class T>
void expect_rank_tree() {
  for (int ranks = 1; ranks <= 8; ++ranks) {
    for (const std::int64_t count : {1, 15, 16, 1003}) {
      const auto expected = naive_tree<T>(ranks, count);
      run_local_ranks(ranks, [&](Group& group) {
        set_num_threads(1);
        auto mine = values_of<T>(group.rank(), count);
        ordered_all_reduce(group, {mine.data(), kType<T>, Shape{count}});
        ASSERT_EQ(mine, expected) << count << " elements on " << ranks << " ranks";
      });
    }
  }
}

TEST(OrderedReduce, IsTheBalancedTreeOverRanksF32) {
  expect_rank_tree<float>();
}
TEST(OrderedReduce, IsTheBalancedTreeOverRanksF64) {
  expect_rank_tree<double>();
}

TEST(OrderedReduce, SeveralWindows) {
  constexpr std::int64_t kCount = 3 * (1 << 18) + 77;
  run_local_ranks(2, [&](Group& group) {
    set_num_threads(1);
    auto mine = values_of<float>(group.rank(), kCount);
    ordered_all_reduce(group, {mine.data(), DType::kF32, Shape{kCount}});
    for (const std::int64_t i : {0L, 100000L, 300000L, long{kCount - 1}}) {
      ASSERT_EQ(mine[static_cast<std::size_t>(i)], naive_sum<float>(0, 2, 2, i));
    }
  });
}

TEST(OrderedReduce, ExactSumsOfRanks) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    ExactSum expected;
    for (int rank = 0; rank < ranks; ++rank) {
      expected.add(leaf_value<double>(rank, 3));
    }
    run_local_ranks(ranks, [&](Group& group) {
      ExactSum sum;
      sum.add(leaf_value<double>(group.rank(), 3));
      exact_all_reduce(group, sum);
      ASSERT_EQ(sum.words(), expected.words());
    });
  }
}

}  // namespace
}  // namespace finescale
