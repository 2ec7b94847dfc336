// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_reducer.h"

#include <gtest/gtest.h>

#include "tests/comm/mpi_main.h"
#include "tests/sharding/reducer_fixture.h"

namespace finescale {
namespace {

// Processes as every data x shard, each computing one rank's sums for itself to compare.
void expect_bits_of_one_rank(ReducerCase variant) {
  set_num_threads(1);
  constexpr std::int64_t kMaxLeaves = 9;
  const auto world = make_world_group();
  const auto single = make_single_group();
  ReducerSteps<float> alone(*single, {}, {}, kMaxLeaves);
  for (int data = 1; data <= world->size(); ++data) {
    if (world->size() % data != 0) {
      continue;
    }
    ReducerSteps<float> steps(*world, {.data = data, .shard = world->size() / data}, variant,
                              kMaxLeaves);
    for (std::int64_t leaves = 1; leaves <= kMaxLeaves; ++leaves) {
      const auto expected = alone.run(leaves);
      const auto step = steps.run(leaves);
      for (int unit = 0; unit < steps.plan().num_units(); ++unit) {
        const auto index = static_cast<std::size_t>(unit);
        const UnitRange range = steps.reducer().owned(unit);
        const float* whole = expected.gradients[index].data() - steps.plan().unit(unit).begin;
        ASSERT_EQ(step.gradients[index], std::vector<float>(whole + range.begin, whole + range.end))
            << leaves << " micro-batches, data " << data << ", unit " << unit;
      }
      ASSERT_EQ(step.squared_norm, expected.squared_norm);
    }
  }
}

TEST(GradientReducerMpi, StagesGiveTheBitsOfOneRank) {
  for (int stage = 0; stage <= 3; ++stage) {
    expect_bits_of_one_rank({stage, false, stage % 2 == 1});
  }
}

TEST(GradientReducerMpi, OverlapGivesTheBitsOfOneRank) {
  for (int stage = 0; stage <= 3; ++stage) {
    expect_bits_of_one_rank({stage, true, stage % 2 == 0});
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
