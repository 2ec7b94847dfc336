// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/parallel.h"
#include "sharding/tree_order.h"
#include "tests/sharding/tree_reference.h"

namespace finescale {
namespace {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void expect_one_rank_bits(DType dtype, std::int64_t num_elements) {
  constexpr std::int64_t kMaxLeaves = 17;
  std::vector<std::vector<T>> expected;
  for (std::int64_t leaves = 0; leaves <= kMaxLeaves; ++leaves) {
    expected.push_back(leaves == 0 ? std::vector<T>{} : naive_tree<T>(leaves, num_elements));
  }
  for (int size = 1; size <= 8; ++size) {
    run_local_ranks(size, [&](Group& group) {
      set_num_threads(1);
      const auto engine = whole_sum_engine(group, num_elements, dtype, kMaxLeaves);
      for (std::int64_t leaves = kMaxLeaves; leaves >= 1; --leaves) {  // one serves all
        const auto sum = tree_sum<T>(*engine, leaves, num_elements);
        ASSERT_TRUE(same_bits(sum, expected[static_cast<std::size_t>(leaves)]))
            << leaves << " micro-batches on " << size << " ranks, rank " << group.rank();
      }
    });
  }
}

TEST(ContiguousEngine, EveryNumberOfRanksGivesTheBitsOfOneF32) {
  expect_one_rank_bits<float>(DType::kF32, 203);  // slices of unequal length
}

TEST(ContiguousEngine, EveryNumberOfRanksGivesTheBitsOfOneF64) {
  expect_one_rank_bits<double>(DType::kF64, 64);
}

TEST(ContiguousEngine, FewerElementsThanRanks) {
  expect_one_rank_bits<float>(DType::kF32, 3);
}

TEST(ContiguousEngine, TheLeavesAreSensitiveToOrder) {
  // Otherwise the tests above would prove nothing.
  const auto tree = naive_tree<float>(17, 200);
  int different = 0;
  for (std::size_t i = 0; i < tree.size(); ++i) {
    float sum = 0;
    for (std::int64_t leaf = 0; leaf < 17; ++leaf) {
      sum += leaf_value<float>(leaf, static_cast<std::int64_t>(i));
    }
    different += static_cast<int>(sum != tree[i]);
  }
  EXPECT_GT(different, 50);
}

TEST(ContiguousEngine, SeveralRoundsOfExchange) {
  constexpr std::int64_t kElements = 3 * (1 << 18) + 1001;  // two ranks: more than one round each
  constexpr std::int64_t kLeaves = 5;
  std::vector<float> one;
  run_local_ranks(1, [&](Group& group) {
    const auto engine = whole_sum_engine(group, kElements, DType::kF32, kLeaves);
    one = tree_sum<float>(*engine, kLeaves, kElements);
  });
  run_local_ranks(2, [&](Group& group) {
    const auto engine = whole_sum_engine(group, kElements, DType::kF32, kLeaves);
    ASSERT_TRUE(same_bits(tree_sum<float>(*engine, kLeaves, kElements), one));
  });
  EXPECT_EQ(one.back(), naive_sum<float>(0, 8, kLeaves, kElements - 1));
}

TEST(ContiguousEngine, OneRankOneMicroBatchCopiesNothing) {
  const auto group = make_single_group();
  const auto engine = whole_sum_engine(*group, 10, DType::kF32, 1);
  (void)engine->begin(1);
  const void* const leaf = engine->open_leaf()[0].data;
  engine->close_leaf();
  engine->reduce_unit(0, 0);
  EXPECT_EQ(engine->result(0).data, leaf);
}

TEST(ContiguousEngine, HoldsLogarithmicallyManySums) {
  EXPECT_EQ(tree_needs(1, 0, 1).own_buffers, 1);
  EXPECT_EQ(tree_needs(2, 0, 1).own_buffers, 2);
  EXPECT_EQ(tree_needs(1024, 0, 1).own_buffers, 11);
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_LE(tree_needs(300, rank, 3).own_buffers, 2 * 7 + 1);
    // The bound that is used for very many leaves holds for the counted numbers too.
    EXPECT_LE(tree_needs(300, rank, 3).foreign_nodes, 2 * 9 * 2);
  }
}

TEST(ContiguousEngine, MoreMicroBatchesThanPromisedAreAnInternalError) {
  const auto group = make_single_group();
  const auto engine = whole_sum_engine(*group, 10, DType::kF32, 2);
  EXPECT_THROW((void)engine->begin(3), Error);
}

TEST(MicroBatches, RangesAreContiguousAndBalanced) {
  for (std::int64_t count = 0; count < 40; ++count) {
    for (int size = 1; size < 9; ++size) {
      std::int64_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const MicroBatchRange range = micro_batches_of(count, rank, size);
        EXPECT_EQ(range.begin, end);
        EXPECT_GE(range.end - range.begin, count / size);
        EXPECT_LE(range.end - range.begin, count / size + 1);
        end = range.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

TEST(OrderedSum, FollowsTheSameTree) {
  for (int size = 1; size <= 5; ++size) {
    for (std::int64_t leaves = 1; leaves <= 17; ++leaves) {
      const double expected = naive_tree<double>(leaves, 1)[0];
      run_local_ranks(size, [&](Group& group) {
        ASSERT_EQ(ordered_leaf_sum(group, leaves), expected) << leaves << " on " << size;
      });
    }
  }
}

}  // namespace
}  // namespace finescale
