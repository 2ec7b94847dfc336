// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/memory.h"

#include <gtest/gtest.h>

#include "sharding/planner/activations.h"
#include "sharding/planner/legality.h"
#include "tests/plan/planner/shapes.h"

namespace finescale::planner {
namespace {

Workload full(const ModelShape& model) {
  Workload w;
  w.model = model;
  w.batch = {.tokens = 2048, .micro_batches = 4, .micro_tokens = 512, .context = 128};
  return w;
}

TEST(ModelShape, CountsParameters) {
  // q 64 x 64, k and v 64 x 32, o 64 x 64, three of 64 x 192, two norms; embedding and last norm.
  EXPECT_EQ(tiny().layer(), 2 * 4096 + 2 * 2048 + 3 * 12288 + 128);
  EXPECT_EQ(tiny().parameters(), 2 * tiny().layer() + 512 * 64 + 64);
  EXPECT_EQ(smollm2_135m().parameters(), 134515008);  // as published
  EXPECT_EQ(llama3_8b().parameters(), 8030261248);
  EXPECT_EQ(llama3_70b().parameters(), 70553706496);
  EXPECT_EQ(llama3_405b().parameters(), 405853388800);
}

TEST(Memory, ByHandOnOneRank) {
  const Workload w = full(tiny());
  const Memory m = peak_memory(w, {}, {});
  const double p = 2.0 * tiny().layer() + 512 * 64 + 64;
  EXPECT_DOUBLE_EQ(m.weights, 4 * p);
  EXPECT_DOUBLE_EQ(m.optimizer, 8 * p);
  EXPECT_DOUBLE_EQ(m.gradients, 3 * 4 * p);
  // A layer: four of width 64, q k v 128, attention 64 + 4, gate and up 384, SwiGLU 192, two
  // scales.
  EXPECT_DOUBLE_EQ(layer_activations(w, 1), 4 * 64 + 128 + 64 + 4 + 384 + 192 + 2);
  // One block of a norm's output and of SwiGLU's for all layers.
  const double kept = 2 * (layer_activations(w, 1) - 2 * 64 - 192) + 64 + 192 + 64 + 64 + 2;
  const double pool = 2 * 64 + 128 + 192;
  EXPECT_DOUBLE_EQ(m.activations, 512 * 4 * (kept + pool));
  EXPECT_DOUBLE_EQ(m.logits, 1024 * 512 * 4);
  EXPECT_DOUBLE_EQ(m.communication + m.gather, 0);
}

// Measured: `finescale-worker tool step`, smollm2-135m, one micro-batch of 512 and of 1024 tokens,
// memory_bytes of the tape.
TEST(Memory, ActivationsAreThoseOfTheTape) {
  Workload w = full(smollm2_135m());
  w.batch.micro_tokens = 512;
  Memory m = peak_memory(w, {}, {});
  EXPECT_NEAR(m.activations + m.logits, 393895936, 0.001 * 393895936);
  w.batch.micro_tokens = 1024;
  m = peak_memory(w, {}, {});
  EXPECT_NEAR(m.activations + m.logits, 762626048, 0.001 * 762626048);
}

TEST(Memory, WeightsAndStateOfAllRanksAreTheModelOnce) {
  const Workload w = full(llama3_8b());
  const double p = static_cast<double>(llama3_8b().parameters());
  for (const int shard : {2, 8}) {
    for (const int pipeline : {1, 4}) {
      const Plan plan{{1, shard, 1, pipeline}, 3, Recompute::kNone, false};
      double weights = 0;
      double optimizer = 0;
      for (int stage = 0; stage < pipeline; ++stage) {
        const Memory m = memory_of_stage(w, plan, {}, stage);
        weights += shard * m.weights;
        optimizer += shard * m.optimizer;
      }
      EXPECT_NEAR(weights, 4 * p, 1e-9 * p);
      EXPECT_NEAR(optimizer, 8 * p, 1e-9 * p);
    }
  }
  // Norms are on every tensor rank, all else once.
  const Memory half = peak_memory(w, {{1, 1, 2, 1}, 0, Recompute::kNone, false}, {});
  const double norms = 65.0 * 4096;
  EXPECT_NEAR(2 * half.weights, 4 * (p + norms), 1e-9 * p);
}

TEST(Memory, EveryStageOfZeroAndRecomputeNeedsLess) {
  const Workload w = full(smollm2_135m());
  double before = 1e18;
  for (int zero = 0; zero <= 3; ++zero) {
    const double now = peak_memory(w, {{1, 4, 1, 1}, zero, Recompute::kNone, false}, {}).total();
    EXPECT_LT(now, before) << zero;
    before = now;
  }
  before = 1e18;
  for (const Recompute r : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    const double now = peak_memory(w, {{1, 1, 3, 1}, 0, r, false}, {}).activations;
    EXPECT_LT(now, before);
    before = now;
  }
  const Plan none{{1, 1, 1, 1}, 0, Recompute::kNone, false};  // what costs nothing is not kept
  const Plan selective{{1, 1, 1, 1}, 0, Recompute::kSelective, false};
  EXPECT_EQ(peak_memory(w, none, {}).activations, peak_memory(w, selective, {}).activations);
  const Machine machine;
  for (int shard = 2; shard <= 16; shard *= 2) {
    const auto of = [&](int s) {
      return peak_memory(w, {{1, s, 1, 1}, 3, Recompute::kNone, false}, machine).total();
    };
    EXPECT_LT(of(2 * shard), of(shard));
  }
}

TEST(Memory, FrozenWeightsHaveNoGradientsAndNoState) {
  Workload w = full(smollm2_135m());
  w.method.trains_base = false;
  w.method.rank = 8;
  const Memory m = peak_memory(w, {}, {});
  // A of q k v o gate up down: 8 x (576 x 6 + 1536); B: 8 x (576 + 192 + 192 + 576 + 1536 + 1536 +
  // 576)
  const double adapters = 30.0 * 8 * (576 * 6 + 1536 + 576 * 3 + 192 * 2 + 1536 * 2);
  EXPECT_DOUBLE_EQ(m.optimizer, 8 * adapters);
  EXPECT_DOUBLE_EQ(m.weights, 4 * (134515008 + adapters));
}

}  // namespace
}  // namespace finescale::planner
