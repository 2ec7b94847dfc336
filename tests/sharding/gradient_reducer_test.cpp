// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_reducer.h"

#include <cstring>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"
#include "tests/sharding/reducer_fixture.h"

namespace finescale {
namespace {

constexpr std::int64_t kMaxLeaves = 17;

template <class T>
bool same_bits(const std::vector<T>& a, const T* b) {
  return a.empty() || std::memcmp(a.data(), b, a.size() * sizeof(T)) == 0;
}

std::vector<MeshShape> replicas() {
  std::vector<MeshShape> shapes;
  for (const int ranks : {1, 2, 3, 4, 6, 8}) {
    for (int data = 1; data <= ranks; ++data) {
      if (ranks % data == 0) {
        shapes.push_back({.data = data, .shard = ranks / data});
      }
    }
  }
  return shapes;
}

// What one rank at stage 0 gets for each number of micro-batches, as one flat block.
template <class T>
struct Reference {
  std::vector<std::vector<T>> sums;
  std::vector<double> norms;

  Reference() {
    set_num_threads(1);
    const auto world = make_single_group();
    ReducerSteps<T> steps(*world, {}, {}, kMaxLeaves);
    sums.emplace_back();
    norms.push_back(0);
    for (std::int64_t leaves = 1; leaves <= kMaxLeaves; ++leaves) {
      const ReducedStep<T> step = steps.run(leaves);
      sums.emplace_back();
      for (const auto& unit : step.gradients) {
        sums.back().insert(sums.back().end(), unit.begin(), unit.end());
      }
      norms.push_back(step.squared_norm);
    }
  }
};

template <class T>
void expect_bits_of_one_rank(ReducerCase variant) {
  const Reference<T> one;
  ASSERT_EQ(one.sums[kMaxLeaves], naive_tree<T>(kMaxLeaves, std::ssize(one.sums[kMaxLeaves])));
  for (const MeshShape& shape : replicas()) {
    run_local_ranks(shape.num_ranks(), [&](Group& world) {
      set_num_threads(1);
      ReducerSteps<T> steps(world, shape, variant, kMaxLeaves);
      for (std::int64_t leaves = kMaxLeaves; leaves >= 1; --leaves) {
        const ReducedStep<T> step = steps.run(leaves);
        const auto index = static_cast<std::size_t>(leaves);
        std::int64_t owned = 0;
        for (int unit = 0; unit < steps.plan().num_units(); ++unit) {
          const UnitRange range = steps.reducer().owned(unit);
          const auto& mine = step.gradients[static_cast<std::size_t>(unit)];
          ASSERT_EQ(std::ssize(mine), range.size());
          ASSERT_TRUE(same_bits(mine, one.sums[index].data() + range.begin))
              << leaves << " micro-batches, data " << shape.data << " shard " << shape.shard
              << " unit " << unit << " rank " << world.rank();
          owned += range.size();
        }
        ASSERT_EQ(steps.mesh().shard().sum(owned),
                  steps.plan().num_elements() * (variant.zero_stage == 0 ? shape.shard : 1));
        ASSERT_EQ(step.squared_norm, one.norms[index]);
      }
    });
  }
}

class ReducerStages : public testing::TestWithParam<ReducerCase> {};

TEST_P(ReducerStages, EveryMeshGivesTheBitsOfOneRankF32) {
  expect_bits_of_one_rank<float>(GetParam());
}
TEST_P(ReducerStages, EveryMeshGivesTheBitsOfOneRankF64) {
  expect_bits_of_one_rank<double>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, ReducerStages,
                         testing::Values(ReducerCase{0, false, false}, ReducerCase{0, true, false},
                                         ReducerCase{1, false, true}, ReducerCase{1, true, false},
                                         ReducerCase{2, false, false}, ReducerCase{2, true, true},
                                         ReducerCase{3, false, true}, ReducerCase{3, true, false}),
                         [](const testing::TestParamInfo<ReducerCase>& variant) {
                           return "Stage" + std::to_string(variant.param.zero_stage) +
                                  (variant.param.overlap ? "Overlap" : "Inline");
                         });

TEST(GradientReducer, UnitsThatWereNotOpenedCountAsZero) {
  run_local_ranks(2, [](Group& world) {
    Mesh mesh(world, {.shard = 2});
    for (const int stage : {1, 2}) {
      GradientReducer reducer(mesh, ShardPlan({{0, 600}, {600, 1300}}, 2), DType::kF32, 2, {stage},
                              nullptr);
      for (int step = 0; step < 2; ++step) {
        reducer.begin(2);
        const UnitBlocks& blocks = reducer.open_micro_batch();
        if (step == 0) {
          reducer.open_unit(1);
          reducer.open_unit(0);
          blocks[0].as<float>()[0] = 3;
          blocks[0].as<float>()[599] = 5;
        }
        reducer.close_micro_batch();
        reducer.finish();
        const float* mine = reducer.gradient(0).as<float>();
        const std::int64_t last = reducer.owned(0).size() - 1;
        EXPECT_EQ(world.rank() == 0 ? mine[0] : mine[last],
                  step == 0 ? (world.rank() == 0 ? 6 : 10) : 0);
      }
    }
  });
}

TEST(GradientReducer, EmptyUnitsAreSkipped) {
  run_local_ranks(3, [](Group& world) {
    Mesh mesh(world, {.data = 3});
    for (int stage = 0; stage <= 3; ++stage) {
      GradientReducer reducer(mesh, ShardPlan({{0, 0}, {0, 10}, {10, 10}}, 3), DType::kF64, 3,
                              {stage}, nullptr);
      ASSERT_EQ(std::ssize(reducer.begin(3)), 1);
      const UnitBlocks& blocks = reducer.open_micro_batch();
      reducer.open_unit(1);
      blocks[1].as<double>()[9] = 1;
      reducer.close_micro_batch();
      reducer.finish();
      EXPECT_EQ(reducer.gradient(1).num_elements(), 10);
      EXPECT_EQ(reducer.gradient(1).as<double>()[9], 3);
      EXPECT_EQ(reducer.gradient(0).num_elements(), 0);
    }
  });
}

TEST(GradientReducer, MisuseIsAnInternalError) {
  run_local_ranks(2, [](Group& world) {
    Mesh mesh(world, {.shard = 2});
    const ShardPlan plan({{0, 600}, {600, 1200}, {1200, 1800}}, 2, {.first = 0, .count = 3});
    EXPECT_THROW(GradientReducer(mesh, ShardPlan({{0, 600}}, 3), DType::kF32, 2, {}, nullptr),
                 Error);
    GradientReducer reducer(mesh, plan, DType::kF32, 2, {.zero_stage = 2}, nullptr);
    EXPECT_THROW(reducer.begin(3), Error);
    reducer.begin(2);
    EXPECT_THROW(reducer.finish(), Error);
    EXPECT_THROW(reducer.idle_round(), Error);
    EXPECT_THROW(reducer.open_unit(0), Error);
    (void)reducer.open_micro_batch();
    reducer.open_unit(2);
    EXPECT_THROW(reducer.open_unit(0), Error);  // the same place
    reducer.close_unit(2);
    EXPECT_THROW(reducer.close_unit(2), Error);
    EXPECT_THROW(reducer.begin(2), Error);
    reducer.close_micro_batch();
    reducer.finish();
  });
}

}  // namespace
}  // namespace finescale
