// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <gtest/gtest.h>

#include "tests/comm/mpi_main.h"
#include "tests/sharding/tree_reference.h"

namespace finescale {
namespace {

// The processes' bits against those of one rank, which every process computes for itself.
template <class T>
void expect_one_rank_bits(DType dtype, std::int64_t num_elements, std::int64_t max_leaves) {
  const auto world = make_world_group();
  const auto single = make_single_group();
  const auto together = whole_sum_engine(*world, num_elements, dtype, max_leaves);
  const auto alone = whole_sum_engine(*single, num_elements, dtype, max_leaves);
  for (std::int64_t leaves = 1; leaves <= max_leaves; ++leaves) {
    const auto ours = tree_sum<T>(*together, leaves, num_elements);
    const auto expected = tree_sum<T>(*alone, leaves, num_elements);
    ASSERT_EQ(std::memcmp(ours.data(), expected.data(), ours.size() * sizeof(T)), 0)
        << leaves << " micro-batches on " << world->size() << " processes";
  }
}

TEST(ContiguousEngineMpi, BitsOfOneRankF32) {
  expect_one_rank_bits<float>(DType::kF32, 1003, 17);
}
TEST(ContiguousEngineMpi, BitsOfOneRankF64) {
  expect_one_rank_bits<double>(DType::kF64, 77, 9);
}
TEST(ContiguousEngineMpi, SeveralRounds) {
  expect_one_rank_bits<float>(DType::kF32, (1 << 20) + 5, 5);
}

TEST(ContiguousEngineMpi, OrderedSumIsThatOfOneRank) {
  const auto world = make_world_group();
  for (std::int64_t leaves = 1; leaves <= 17; ++leaves) {
    EXPECT_EQ(ordered_leaf_sum(*world, leaves), naive_tree<double>(leaves, 1)[0]);
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
