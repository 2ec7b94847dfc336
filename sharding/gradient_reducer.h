// SPDX-License-Identifier: Apache-2.0
// Sums gradients over the micro-batches of a step and over the replica group, unit by unit, in the
// fixed binary tree: the same bits for every mesh of data x shard, ZeRO stage, split and with or
// without overlap. The main thread of a rank calls; with overlap the sums and their collectives go
// on the queue's thread.
//
//   for each step: begin(n); for each micro-batch of this rank { open_micro_batch; backward, with
//   open_unit before a unit's first gradient and close_unit after its last; close_micro_batch };
//   finish; gradient(u).
//
// Units close in descending order. Ranks without a micro-batch in a round call idle_round, or
// finish does it for them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/tensor.h"
#include "sharding/gradient_add.h"
#include "sharding/mesh.h"
#include "sharding/shard_plan.h"

namespace finescale {

class CommQueue;

struct ReducerOptions {
  // 0: every rank gets the whole gradient. 1: the range of its shard. 2, 3: also, leaves take only
  // the places of the plan, never the memory of all units.
  int zero_stage = 0;
  bool overlap = false;  // needs a queue
  LeafMemory memory = {};
};

class GradientReducer {
 public:
  // The plan cuts over the replica group of the mesh. f32 or f64. All memory is allocated here. The
  // queue must outlive the reducer. Collective over the replica group.
  GradientReducer(Mesh& mesh, const ShardPlan& plan, DType dtype, std::int64_t max_micro_batches,
                  ReducerOptions options, CommQueue* queue);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // The micro-batches of this rank, ascending: a contiguous range at stages 0 and 1, every R-th at
  // 2 and 3.
  std::span<const std::int64_t> begin(std::int64_t num_micro_batches);
  // Micro-batches of the rank that has most: how often every rank calls open_micro_batch or
  // idle_round when something else in the model is collective.
  [[nodiscard]] std::int64_t num_rounds() const noexcept;
  // Where the gradients of the next micro-batch go. A unit's block holds zeros from open_unit to
  // the first write and may be used until close_unit; blocks may change from one micro-batch to the
  // next.
  const UnitBlocks& open_micro_batch();
  // With overlap it may wait until the memory is free.
  void open_unit(int unit);
  // Starts the unit's sum when it is due. In an idle round it may be called too, in the same order,
  // so that collectives of others on the same queue interleave alike on all ranks.
  void close_unit(int unit);
  // Units that were never opened count as zero. Collective over replica.
  void close_micro_batch();
  void idle_round();
  // All sums are complete. Collective over replica.
  void finish();

  // Elements of the flat block that this rank has the sum of, and the sum; valid until the next
  // begin, and the caller may change it in place.
  [[nodiscard]] UnitRange owned(int unit) const;
  [[nodiscard]] TensorView gradient(int unit) const;

  [[nodiscard]] std::size_t memory_bytes() const;
  // Payload handed to other ranks so far.
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
