// SPDX-License-Identifier: Apache-2.0
#include "sharding/shard_plan.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace finescale {
namespace {

TEST(ShardPlan, SlicesTileTheUnitAtBlocks) {
  for (const std::int64_t size : {0, 1, 255, 256, 257, 512, 1000, 2049, 100003}) {
    for (const std::int64_t begin : {0, 17, 4096}) {
      for (int slices = 1; slices <= 12; ++slices) {
        const ShardPlan plan({{begin, begin + size}}, slices);
        std::int64_t end = begin;
        for (int r = 0; r < slices; ++r) {
          const UnitRange slice = plan.slice(0, r);
          EXPECT_EQ(slice.begin, end);
          EXPECT_GE(slice.size(), 0);
          EXPECT_LE(slice.size(), plan.longest_slice());
          EXPECT_TRUE((slice.begin - begin) % kSliceBlock == 0 || slice.begin == begin + size);
          end = slice.end;
        }
        EXPECT_EQ(end, begin + size);
        EXPECT_EQ(plan.slices(0, 0, slices), plan.unit(0));
        const std::int64_t blocks = (size + kSliceBlock - 1) / kSliceBlock;
        EXPECT_LE(plan.longest_slice(), (blocks + slices - 1) / slices * kSliceBlock);
      }
    }
  }
}

TEST(ShardPlan, SlicesOfAReplicaGroupUniteToThoseOfTheShardAxis) {
  for (int data = 1; data <= 4; ++data) {
    for (int shard = 1; shard <= 4; ++shard) {
      const ShardPlan replica({{0, 5000}, {5000, 5300}, {5300, 100000}}, data * shard);
      const ShardPlan axis({{0, 5000}, {5000, 5300}, {5300, 100000}}, shard);
      for (int unit = 0; unit < 3; ++unit) {
        for (int s = 0; s < shard; ++s) {
          EXPECT_EQ(replica.slices(unit, s * data, (s + 1) * data), axis.slice(unit, s));
        }
      }
    }
  }
}

TEST(ShardPlan, FewerBlocksThanRanksLeavesSlicesEmpty) {
  const ShardPlan plan({{0, 300}}, 5);
  std::int64_t filled = 0;
  for (int r = 0; r < 5; ++r) {
    filled += plan.slice(0, r).size() > 0 ? 1 : 0;
  }
  EXPECT_EQ(filled, 2);
}

TEST(ShardPlan, LayersAlternateBetweenTwoPlaces) {
  // embedding, five layers, head
  const ShardPlan plan({{0, 50}, {50, 60}, {60, 72}, {72, 82}, {82, 92}, {92, 103}, {103, 110}}, 2,
                       {.first = 1, .count = 5});
  EXPECT_EQ(plan.place_sizes(), (std::vector<std::int64_t>{50, 11, 12, 7}));
  const std::vector<int> places{0, 1, 2, 1, 2, 1, 3};
  for (int unit = 0; unit < plan.num_units(); ++unit) {
    EXPECT_EQ(plan.place(unit), places[static_cast<std::size_t>(unit)]);
  }
  const ShardPlan apart({{0, 10}, {10, 20}}, 1);
  EXPECT_NE(apart.place(0), apart.place(1));
}

TEST(ShardPlan, MisuseIsAnInternalError) {
  EXPECT_THROW(ShardPlan({}, 1), Error);
  EXPECT_THROW(ShardPlan({{0, 5}}, 0), Error);
  EXPECT_THROW(ShardPlan({{0, 5}, {4, 6}}, 1), Error);
  EXPECT_THROW(ShardPlan({{0, 5}}, 1, {.first = 0, .count = 2}), Error);
}

}  // namespace
}  // namespace finescale
