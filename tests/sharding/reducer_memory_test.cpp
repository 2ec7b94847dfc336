// SPDX-License-Identifier: Apache-2.0
#include "sharding/reducer_memory.h"

#include <bit>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"
#include "sharding/pass_program.h"
#include "tests/sharding/reducer_fixture.h"

namespace finescale {
namespace {

TEST(PassProgram, AddsEveryLeafOnceInTreeOrder) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (std::int64_t leaves = 1; leaves <= 40; ++leaves) {
      const PassPrograms programs = make_pass_programs(leaves, ranks);
      ASSERT_EQ(std::ssize(programs.passes), (leaves + ranks - 1) / ranks);
      std::vector<double> sums(static_cast<std::size_t>(programs.num_sums));
      for (std::size_t pass = 0; pass < programs.passes.size(); ++pass) {
        std::vector<double> arrived;
        for (int rank = 0; rank < ranks; ++rank) {
          arrived.push_back(leaf_value<double>(static_cast<std::int64_t>(pass) * ranks + rank, 0));
        }
        const auto at = [&](Place place) -> double& {
          return place >= 0 ? sums[static_cast<std::size_t>(place)]
                            : arrived[static_cast<std::size_t>(-1 - place)];
        };
        for (const Addition& a : programs.passes[pass]) {
          at(a.out) = a.left == a.right ? at(a.left) : at(a.left) + at(a.right);
        }
      }
      ASSERT_EQ(sums[0], naive_tree<double>(leaves, 1)[0]) << leaves << " on " << ranks;
    }
  }
}

TEST(PassProgram, SumsGrowWithTheLogarithm) {
  for (int ranks = 2; ranks <= 9; ++ranks) {
    for (const std::int64_t leaves : {1, 2, 17, 64, 200}) {
      EXPECT_LE(most_pass_sums(leaves, ranks), std::bit_width(static_cast<std::uint64_t>(leaves)));
    }
  }
  EXPECT_EQ(most_pass_sums(8, 8), 1);
  EXPECT_GE(most_pass_sums(5000, 2), most_pass_sums(1024, 2));
}

TEST(ReducerMemory, IsWhatIsAllocated) {
  constexpr std::int64_t kLeaves = 9;
  for (const MeshShape shape :
       {MeshShape{}, MeshShape{.shard = 2}, MeshShape{.data = 2, .shard = 2}, MeshShape{.data = 3},
        MeshShape{.data = 2, .shard = 4}}) {
    run_local_ranks(shape.num_ranks(), [&](Group& world) {
      for (int stage = 0; stage <= 3; ++stage) {
        ReducerSteps<float> steps(world, shape, {.zero_stage = stage}, kLeaves);
        const ReducerMemory memory =
            reducer_memory(steps.plan(), stage, shape.data, world.rank(), kLeaves);
        const std::size_t bytes = steps.reducer().memory_bytes();
        EXPECT_GE(bytes, static_cast<std::size_t>(memory.total()) * 4);
        EXPECT_LE(bytes, static_cast<std::size_t>(memory.total()) * 4 + 64 * 12);  // padding
        (void)steps.run(kLeaves);
        EXPECT_EQ(steps.reducer().memory_bytes(), bytes);  // a step allocates nothing more
      }
    });
  }
}

// A model of 32 layers: what a rank holds at stage 2 is far from the whole gradient.
TEST(ReducerMemory, StageTwoHoldsTwoLayersAndSlices) {
  constexpr std::int64_t kLayer = 1 << 20;
  constexpr std::int64_t kEmbedding = 1 << 22;
  std::vector<UnitRange> units{{0, kEmbedding}};
  for (int layer = 0; layer < 32; ++layer) {
    units.push_back({units.back().end, units.back().end + kLayer});
  }
  const std::int64_t whole = units.back().end;
  for (const int ranks : {2, 4, 8}) {
    const ShardPlan plan(units, ranks, {.first = 1, .count = 32});
    for (int rank = 0; rank < ranks; ++rank) {
      for (const std::int64_t micro_batches : {1, 8, 64}) {
        const ReducerMemory memory = reducer_memory(plan, 2, 1, rank, micro_batches);
        const auto levels =
            static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(micro_batches)));
        const std::int64_t slice = whole / ranks + 34 * kSliceBlock;
        EXPECT_EQ(memory.leaves, kEmbedding + 2 * kLayer);
        EXPECT_LE(memory.result, slice);
        EXPECT_LE(memory.sums, (levels - 1) * slice);
        EXPECT_LE(memory.staging, (ranks - 1) * kExchangeWindow);
        EXPECT_GE(reducer_memory(plan, 0, 1, rank, micro_batches).leaves, whole);
      }
    }
  }
}

}  // namespace
}  // namespace finescale
