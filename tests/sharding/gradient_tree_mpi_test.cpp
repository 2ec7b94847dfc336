// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <gtest/gtest.h>

#include "sharding/gradient_tree.h"
#include "tests/comm/mpi_main.h"
#include "tests/sharding/tree_reference.h"

namespace finescale {
namespace {

// The processes' bits against those of one rank, which every process computes for itself.
template <class T>
void expect_one_rank_bits(DType dtype, std::int64_t num_elements, std::int64_t max_leaves) {
  const auto world = make_world_group();
  const auto single = make_single_group();
  GradientTree together(*world, num_elements, dtype, max_leaves);
  GradientTree alone(*single, num_elements, dtype, max_leaves);
  for (std::int64_t leaves = 1; leaves <= max_leaves; ++leaves) {
    const auto ours = tree_sum<T>(*world, together, leaves, num_elements);
    const auto expected = tree_sum<T>(*single, alone, leaves, num_elements);
    ASSERT_EQ(std::memcmp(ours.data(), expected.data(), ours.size() * sizeof(T)), 0)
        << leaves << " micro-batches on " << world->size() << " processes";
  }
}

TEST(GradientTreeMpi, BitsOfOneRankF32) {
  expect_one_rank_bits<float>(DType::kF32, 1003, 17);
}
TEST(GradientTreeMpi, BitsOfOneRankF64) {
  expect_one_rank_bits<double>(DType::kF64, 77, 9);
}
TEST(GradientTreeMpi, SeveralRounds) {
  expect_one_rank_bits<float>(DType::kF32, (1 << 20) + 5, 5);
}

TEST(GradientTreeMpi, OrderedSumIsThatOfOneRank) {
  const auto world = make_world_group();
  for (std::int64_t leaves = 1; leaves <= 17; ++leaves) {
    const MicroBatchRange range = micro_batches_of(leaves, world->rank(), world->size());
    std::vector<double> mine;
    for (std::int64_t leaf = range.begin; leaf < range.end; ++leaf) {
      mine.push_back(leaf_value<double>(leaf, 0));
    }
    EXPECT_EQ(ordered_sum(*world, leaves, mine), naive_tree<double>(leaves, 1)[0]);
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
