// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/mesh_table.h"

#include <algorithm>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/plan/planner/shapes.h"

namespace finescale::planner {
namespace {

using ::testing::HasSubstr;

Workload full_workload(const ModelShape& model) {
  Workload w;
  w.model = model;
  w.batch = {.tokens = 4096, .micro_batches = 8, .micro_tokens = 512, .context = 128};
  return w;
}
Machine machine(double memory = 0) {
  Machine m;
  m.memory_per_rank = memory;
  m.gemm = {{16, 2e10}, {512, 6e10}};
  m.attention_flops_per_s = 3e10;
  m.inside = m.between = {3e9, 2e-6};
  return m;
}
MeshTable table(const Workload& w, const Machine& m, int ranks, const Settled& settled = {}) {
  return make_mesh_table({&w, 1}, m, ranks, settled);
}

TEST(MeshTable, HasEveryFactorisationOnceAndAReasonForEachButOne) {
  const MeshTable t = table(full_workload(smollm2_135m()), machine(), 8);
  ASSERT_EQ(t.rows.size(), 20U);
  ASSERT_NE(t.chosen(), nullptr);
  for (std::size_t i = 1; i < t.rows.size(); ++i) {
    EXPECT_NE(t.rows[i].verdict, Verdict::kChosen);
    EXPECT_FALSE(t.rows[i].reason.empty());
    EXPECT_EQ(t.rows[i].verdict == Verdict::kIllegal,
              find_fault(smollm2_135m(), t.rows[i].plan).has_value());
    if (t.rows[i].verdict == Verdict::kSlower) {
      EXPECT_GE(t.rows[i].time.total(), t.rows[0].time.total());
    }
  }
  EXPECT_THAT(t.rows.back().reason, HasSubstr("9 attention heads: use 1 or 3"));
}

TEST(MeshTable, WhatOneRankRefusesFourHoldWithZero3) {
  Workload w = full_workload(smollm2_135m());
  w.batch.micro_tokens = 128;
  w.batch.micro_batches = 4;
  const double limit = 1.3e9;
  const MeshTable one = table(w, machine(limit), 1);
  EXPECT_EQ(one.chosen(), nullptr);
  EXPECT_THAT(one.rows[0].reason, HasSubstr("does not fit: "));
  EXPECT_THAT(one.rows[0].reason, HasSubstr(" of 1.21 GiB"));
  Settled only_shard;
  only_shard.pipeline = 1;
  const MeshTable four = table(w, machine(limit), 4, only_shard);
  ASSERT_NE(four.chosen(), nullptr);
  EXPECT_GE(four.chosen()->plan.zero, 2);
  Settled zero3 = only_shard;
  zero3.zero = 3;
  zero3.shard = 4;
  const MeshTable deepest = table(w, machine(limit), 4, zero3);
  ASSERT_NE(deepest.chosen(), nullptr);
  EXPECT_LE(deepest.chosen()->memory.total(), limit);
}

TEST(MeshTable, TensorIsTakenOnlyWhenNothingElseFitsOrOnRequest) {
  const Workload w = full_workload(tiny());
  Machine fast_links = machine();
  fast_links.inside = fast_links.between = {1e15, 0};
  const MeshTable t = table(w, fast_links, 4);
  EXPECT_EQ(t.chosen()->plan.axes.tensor, 1);
  EXPECT_TRUE(std::any_of(t.rows.begin(), t.rows.end(), [](const MeshRow& row) {
    return row.verdict == Verdict::kOwnNumbers &&
           row.reason == "tensor > 1 has numbers of its own: write it down to use it";
  }));
  Settled two;
  two.tensor = 2;
  EXPECT_EQ(table(w, fast_links, 4, two).chosen()->plan.axes.tensor, 2);
}

TEST(MeshTable, StateLeavesTheMemoryOnlyWhereNothingElseFits) {
  const Workload w = full_workload(smollm2_135m());
  const MeshRow roomy = table(w, machine(), 1).rows.front();
  EXPECT_EQ(roomy.plan.offload, Offload::kNone);
  Settled on_disk;
  on_disk.offload = Offload::kDisk;
  const MeshRow disk = table(w, machine(), 1, on_disk).rows.front();
  EXPECT_EQ(disk.plan.offload, Offload::kDisk);
  // Two windows of 2^21 parameters instead of all of them; nothing is copied for a checkpoint.
  EXPECT_DOUBLE_EQ(disk.memory.optimizer, 2 * 8.0 * (1 << 21));
  EXPECT_DOUBLE_EQ(disk.memory.snapshot, 0);
  EXPECT_GT(disk.time.optimizer, roomy.time.optimizer);
  // With full_workload recomputation the rest is smaller still, so this limit leaves the disk
  // alone.
  const MeshTable tight = table(w, machine(disk.memory.total() * 0.99), 1);
  ASSERT_NE(tight.chosen(), nullptr);
  EXPECT_EQ(tight.chosen()->plan.offload, Offload::kDisk);
  Settled never;
  never.offload = Offload::kNone;
  EXPECT_EQ(table(w, machine(disk.memory.total() * 0.99), 1, never).chosen(), nullptr);
}

TEST(MeshTable, ADeviceLeavesStateToItsHost) {
  const Workload w = full_workload(smollm2_135m());
  Machine device = machine();
  device.host_link = 1e9;
  device.host_bandwidth = 1e10;
  Settled none;
  none.offload = Offload::kNone;
  none.recompute = Recompute::kFull;
  const MeshRow all = table(w, device, 1, none).rows.front();
  device.memory_per_rank = all.memory.total() - 1e6;
  const MeshTable t = table(w, device, 1);
  ASSERT_NE(t.chosen(), nullptr);
  EXPECT_EQ(t.chosen()->plan.offload, Offload::kHost);
  EXPECT_DOUBLE_EQ(t.chosen()->memory.optimizer, 0);
  // Gradients there, weights back.
  EXPECT_GT(t.chosen()->time.optimizer, 4 * static_cast<double>(w.model.parameters() - 576) / 1e9);
}

TEST(MeshTable, KeepsWhatIsSettled) {
  Settled settled;
  settled.shard = 2;
  settled.zero = 3;
  settled.recompute = Recompute::kFull;
  settled.overlap = true;
  for (const MeshRow& row : table(full_workload(tiny()), machine(), 8, settled).rows) {
    EXPECT_EQ(row.plan.axes.shard, 2);
    EXPECT_EQ(row.plan.zero, 3);
    EXPECT_EQ(row.plan.recompute, Recompute::kFull);
    EXPECT_TRUE(row.plan.overlap);
  }
  settled.data = 3;
  EXPECT_TRUE(table(full_workload(tiny()), machine(), 8, settled).rows.empty());
}

TEST(MeshTable, AMeshMustSuitEveryWorkload) {
  const std::vector<Workload> both = {full_workload(tiny()), full_workload(smollm2_135m())};
  for (const MeshRow& row : make_mesh_table(both, machine(), 4, {}).rows) {
    EXPECT_EQ(row.verdict == Verdict::kIllegal,
              find_fault(tiny(), row.plan) || find_fault(smollm2_135m(), row.plan));
  }
}

TEST(StepTime, SendsWhatTheFormulasSay) {
  const Workload w = full_workload(tiny());
  const double p = static_cast<double>(tiny().parameters() - 64);  // the last norm is counted later
  const auto bytes = [&](const Plan& plan) { return step_time(w, plan, machine()); };
  const auto replica = [&](Axes axes, int zero) {
    return bytes({axes, zero, Recompute::kNone, false}).replica_bytes;
  };
  // Reduce and gather: 2 (n - 1) / n; ZeRO-1 the same; ZeRO-2 reduces each of two rounds; ZeRO-3
  // gathers twice a round and reduces once a round.
  EXPECT_DOUBLE_EQ(replica({4, 1, 1, 1}, 0), 4 * p * 2 * 3 / 4);
  EXPECT_DOUBLE_EQ(replica({1, 4, 1, 1}, 1), 4 * p * 2 * 3 / 4);
  EXPECT_DOUBLE_EQ(replica({1, 4, 1, 1}, 2), 4 * p * (2 + 1) * 3 / 4);
  EXPECT_DOUBLE_EQ(replica({1, 4, 1, 1}, 3), 4 * p * (2 + 4) * 3 / 4);
  const StepTime tensor = bytes({{1, 1, 2, 1}, 0, Recompute::kNone, false});
  EXPECT_DOUBLE_EQ(tensor.tensor_bytes, 8 * (4 * 2 + 1) * 512 * 64 * 4.0);  // 2 (n - 1) / n is 1
  const StepTime pipeline = bytes({{1, 1, 1, 2}, 0, Recompute::kNone, false});
  EXPECT_DOUBLE_EQ(pipeline.pipeline_bytes, 8 * 512 * 64 * 4.0);
  EXPECT_NEAR(pipeline.bubble, pipeline.compute / 8, 1e-12);
}

// Bytes alone: products and attention take no time.
TEST(StepTime, MovesOperandsAsTheyAreStored) {
  Workload w = full_workload(tiny());
  Machine m = machine();
  m.gemm = {{1, 1e30}};
  m.attention_flops_per_s = 1e30;
  const auto bytes = [&](int zero) {
    const StepTime time =
        step_time(w, {{1, zero == 0 ? 1 : 2, 1, 1}, zero, Recompute::kNone, false}, m);
    return std::pair{time.compute * m.memory_bandwidth, time.optimizer * m.memory_bandwidth};
  };
  const double tokens = 4096;
  const double layers = 2;
  const auto inner = static_cast<double>(tiny().matrices_of_inner() * 192);
  // Forward once and backward one and a half times, written and read.
  const double f32 = tokens * layers * 2.5 * 2 * 4 * (6 * 64 + 2 * 64 + inner);
  const auto before = bytes(0);
  EXPECT_NEAR(before.first / f32, 1, 1e-9);
  w.bytes.rounded = 2;
  EXPECT_EQ(bytes(0), before);  // a CPU rounds as it packs
  const double zero3_before = bytes(3).second;
  m.host_link = m.host_bandwidth = 1e10;
  // The residual stream stays; its gradient is rounded twice a layer, what trains once.
  const double rounded =
      tokens * layers * (2.5 * 2 * (4 * 4 * 64 + 2 * (2 * 64 + 2 * 64 + inner)) + 2 * 6 * 64);
  EXPECT_NEAR(bytes(0).first / rounded, 1, 1e-9);
  const auto trained = static_cast<double>(tiny().parameters() - 64);
  EXPECT_NEAR((bytes(0).second - before.second) / (6 * trained), 1, 1e-9);
  // Gathered for both passes of each of the rank's four micro-batches.
  EXPECT_NEAR((bytes(3).second - zero3_before) / (2 * 4 * 6 * trained), 1, 1e-9);
}

TEST(StepTime, OverlapHidesAndNeverHurts) {
  const Workload w = full_workload(smollm2_135m());
  Machine m = machine();
  m.overlap_loss = 0.1;
  for (int zero = 1; zero <= 3; ++zero) {
    const StepTime off = step_time(w, {{1, 4, 1, 1}, zero, Recompute::kNone, false}, m);
    const StepTime on = step_time(w, {{1, 4, 1, 1}, zero, Recompute::kNone, true}, m);
    EXPECT_LT(on.total(), off.total());
    EXPECT_NEAR(on.communication + on.hidden, off.communication, 1e-9);
  }
}

TEST(Machine, RatesAreLinearBetweenPointsAndLevelOutside) {
  const Machine m = machine();
  EXPECT_DOUBLE_EQ(m.gemm_rate(1), 2e10);
  EXPECT_DOUBLE_EQ(m.gemm_rate(264), 4e10);
  EXPECT_DOUBLE_EQ(m.gemm_rate(9999), 6e10);
  EXPECT_DOUBLE_EQ(h100().link(1, 8).bandwidth, h100().inside.bandwidth);
  EXPECT_DOUBLE_EQ(h100().link(8, 8).bandwidth, h100().between.bandwidth);
  EXPECT_DOUBLE_EQ(h100().link(1, 64).bandwidth, 8 * h100().between.bandwidth);
}

}  // namespace
}  // namespace finescale::planner
