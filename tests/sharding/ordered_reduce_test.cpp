// SPDX-License-Identifier: Apache-2.0
#include "sharding/ordered_reduce.h"

#include <vector>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"
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

TEST(OrderedReduce, RowsTileAndGatherBack) {
  for (int ranks = 1; ranks <= 6; ++ranks) {
    for (const std::int64_t tokens : {1, 3, 7, 50}) {  // ranks without a row too
      constexpr std::int64_t kWidth = 9;
      const auto expected = naive_tree<float>(ranks, tokens * kWidth);
      run_local_ranks(ranks, [&](Group& group) {
        set_num_threads(1);
        auto full = values_of<float>(group.rank(), tokens * kWidth);
        const auto before = full;
        const RowRange rows = rows_of(tokens, group.rank(), ranks);
        std::vector<float> mine(static_cast<std::size_t>((rows.end - rows.begin) * kWidth) + 1);
        const TensorView full_view(full.data(), DType::kF32, Shape{tokens, kWidth});
        const TensorView mine_view(mine.data(), DType::kF32, Shape{rows.end - rows.begin, kWidth});
        reduce_scatter_rows(group, full_view, mine_view);
        ASSERT_EQ(full, before);
        for (std::int64_t i = 0; i < mine_view.num_elements(); ++i) {
          ASSERT_EQ(mine[static_cast<std::size_t>(i)],
                    expected[static_cast<std::size_t>(rows.begin * kWidth + i)]);
        }
        all_gather_rows(group, mine_view, full_view);
        ASSERT_EQ(full, expected);
        // In place: this rank's rows lie in the matrix.
        full = before;
        reduce_scatter_rows(group, full_view, full_view.row_range(rows.begin, rows.end));
        all_gather_rows(group, full_view.row_range(rows.begin, rows.end), full_view);
        ASSERT_EQ(full, expected);
      });
    }
  }
}

TEST(OrderedReduce, RowsOfAnotherCountAreRefused) {
  const auto group = make_single_group();
  std::vector<float> memory(12);
  const TensorView full(memory.data(), DType::kF32, Shape{4, 3});
  EXPECT_THROW(reduce_scatter_rows(*group, full, full.row_range(0, 3)), Error);
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
