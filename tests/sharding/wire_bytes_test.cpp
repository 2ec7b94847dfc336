// SPDX-License-Identifier: Apache-2.0
// What is sent against the formulas of docs/sharding.md, to the byte.
#include <numeric>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "sharding/ordered_reduce.h"
#include "sharding/parameter_store.h"
#include "tests/sharding/reducer_fixture.h"

namespace finescale {
namespace {

std::int64_t gradient_elements(const ShardPlan& plan, int stage, const MeshShape& shape, int rank,
                               std::int64_t leaves) {
  const int ranks = shape.data * shape.shard;
  std::int64_t slices = 0;
  for (int unit = 0; unit < plan.num_units(); ++unit) {
    slices += plan.slice(unit, rank).size();
  }
  const std::int64_t times =
      stage >= 2 ? (leaves - rank + ranks - 1) / ranks
                 : std::ssize(partial_nodes(micro_batches_of(leaves, rank, ranks), leaves));
  return ranks == 1 ? 0
                    : times * (plan.num_elements() - slices) +
                          ((stage == 0 ? ranks : shape.data) - 1) * slices;
}

TEST(WireBytes, OfGradients) {
  for (const MeshShape shape :
       {MeshShape{}, MeshShape{.data = 2}, MeshShape{.shard = 3}, MeshShape{.data = 2, .shard = 2},
        MeshShape{.data = 4, .shard = 2}}) {
    run_local_ranks(shape.num_ranks(), [&](Group& world) {
      set_num_threads(1);
      for (int stage = 0; stage <= 3; ++stage) {
        for (const bool overlap : {false, true}) {
          ReducerSteps<float> steps(world, shape, {stage, overlap}, 17);
          for (const std::int64_t leaves : {1, 4, 8, 17}) {
            ASSERT_EQ(steps.run(leaves).bytes_sent,
                      4 * gradient_elements(steps.plan(), stage, shape, world.rank(), leaves))
                << "stage " << stage << " data " << shape.data << " shard " << shape.shard
                << " rank " << world.rank() << ", " << leaves << " micro-batches";
          }
        }
      }
    });
  }
}

// One step of `rounds` micro-batches, each a forward and a backward pass.
void step(ParameterStore& store, int units, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (int unit = 0; unit < units; ++unit) {
      store.acquire(unit, unit + 1 < units ? unit + 1 : -1);
      store.release(unit);
    }
    for (int unit = units - 1; unit >= 0; --unit) {
      store.acquire(unit, unit - 1);
      store.release(unit);
    }
  }
}

TEST(WireBytes, OfParameters) {
  constexpr std::int64_t kLayer = 1200;
  constexpr std::int64_t kNumLayers = 6;
  std::vector<UnitRange> units{{0, 5000}};
  for (int layer = 0; layer < kNumLayers; ++layer) {
    units.push_back({units.back().end, units.back().end + kLayer});
  }
  units.push_back({units.back().end, units.back().end + 700});
  const int num_units = static_cast<int>(units.size());
  for (const MeshShape shape : {MeshShape{.shard = 2}, MeshShape{.data = 2, .shard = 3}}) {
    run_local_ranks(shape.num_ranks(), [&](Group& world) {
      Mesh mesh(world, shape);
      const ShardPlan plan(units, mesh.replica().size(), {.first = 1, .count = kNumLayers});
      for (int stage = 0; stage <= 3; ++stage) {
        for (const int rounds : {1, 3}) {
          for (const bool overlap : {false, true}) {
            std::optional<CommQueue> queue;
            ParameterStore store(mesh, plan, DType::kF32, stage,
                                 overlap ? &queue.emplace() : nullptr);
            std::int64_t all = 0;
            for (int unit = 0; unit < num_units; ++unit) {
              all += store.owned_range(unit).size();
            }
            const std::int64_t layer = store.owned_range(1).size();
            const std::int64_t others = all - kNumLayers * layer;
            const std::int64_t gathers = kNumLayers + (2 * rounds - 1) * (kNumLayers - 2);
            for (int update = 0; update < 2; ++update) {
              const std::uint64_t before = store.bytes_sent();
              step(store, num_units, rounds);
              store.publish();
              const std::int64_t once = stage == 0 ? 0 : stage < 3 ? all : others + gathers * layer;
              ASSERT_EQ(store.bytes_sent() - before, 4 * (shape.shard - 1) * once)
                  << "stage " << stage << ", " << rounds << " rounds";
            }
            if (stage == 3) {  // a frozen base: the units that are still there serve again
              step(store, num_units, rounds);
              const std::uint64_t before = store.bytes_sent();
              step(store, num_units, rounds);
              ASSERT_EQ(store.bytes_sent() - before,
                        4 * (shape.shard - 1) * 2 * rounds * (kNumLayers - 2) * layer);
            }
          }
        }
      }
    });
  }
}

TEST(WireBytes, OfSumsOverRanks) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    run_local_ranks(ranks, [&](Group& group) {
      set_num_threads(1);
      constexpr std::int64_t kCount = 192;
      std::vector<float> memory(kCount, 1);
      const TensorView full(memory.data(), DType::kF32, Shape{kCount});
      const auto sent = [&](auto&& call) {
        const std::uint64_t before = group.bytes_sent();
        call();
        return static_cast<std::int64_t>(group.bytes_sent() - before);
      };
      const std::int64_t begin = group.rank() * kCount / ranks / 16 * 16;
      const std::int64_t end =
          group.rank() + 1 == ranks ? kCount : (group.rank() + 1) * kCount / ranks / 16 * 16;
      EXPECT_EQ(sent([&] { ordered_all_reduce(group, full); }),
                ranks == 1 ? 0 : 4 * (kCount - (end - begin) + (ranks - 1) * (end - begin)));
      ExactSum sum;
      EXPECT_EQ(sent([&] { exact_all_reduce(group, sum); }), 71 * 8 * (ranks - 1));
    });
  }
}

}  // namespace
}  // namespace finescale
