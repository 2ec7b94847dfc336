// SPDX-License-Identifier: Apache-2.0
// The values of a rank's units. Below ZeRO stage 3 every rank of the shard axis holds the whole
// local block; at stage 3 it holds its shard's range of each unit, and whole units only while they
// are in use, in the places of the plan. Frozen parameters too: they are just never updated. The
// main thread of a rank calls; with a queue, units are gathered ahead on its thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/device.h"
#include "core/tensor.h"
#include "sharding/layout.h"
#include "sharding/mesh.h"
#include "sharding/shard_plan.h"

namespace finescale {

class CommQueue;

class ParameterStore {
 public:
  // The plan cuts over the replica group of the mesh. `whole`: a flat block from the first unit's
  // begin to the last one's end that the store uses below stage 3; empty: it has its own, zeroed,
  // in the memory of the stream's device. The queue (null: nothing is gathered ahead) must outlive
  // the store. Collective over shard.
  ParameterStore(Mesh& mesh, const ShardPlan& plan, DType dtype, int zero_stage, CommQueue* queue,
                 const TensorView& whole = {}, const Stream& stream = Stream());
  ~ParameterStore();
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  // Addresses stay for the life of the store. At stage 3 a block has its unit's values from acquire
  // to release; units of one place are not held together.
  [[nodiscard]] const UnitBlocks& blocks() const;
  // All ranks of the shard axis make the same calls in the same order, those without a micro-batch
  // too. `next` (-1: none) is gathered ahead when its place is free. A unit that still lies in its
  // place is not gathered again. Collective over shard at stage 3, else no-ops.
  void acquire(int unit, int next);
  void release(int unit);
  [[nodiscard]] bool gathers() const noexcept;  // whether these two do anything

  // What this rank updates: the whole unit at stage 0, its shard's range above, as the reducer's.
  [[nodiscard]] UnitRange owned_range(int unit) const;
  [[nodiscard]] TensorView owned(int unit);
  // After the update of what is owned, nothing being held. Collective over shard.
  void publish();

  // Elements [begin, end) of the flat block as far as this rank keeps them, in order.
  struct Piece {
    UnitRange range;
    TensorView values;
  };
  [[nodiscard]] std::vector<Piece> pieces(std::int64_t begin, std::int64_t end);
  // Gathered units are forgotten: what the ranks keep has changed. Nothing is held.
  void forget();
  // Calls read(hyperslab of the logical tensor, its values [n] in memory) until everything that
  // this rank keeps of a tensor has been filled; `offset` is where its local part begins in the
  // flat block. The values given to `read` lie in the host's memory. Gathered units are forgotten.
  using Read = std::function<void(const LocalPart& hyperslab, const TensorView& values)>;
  void fill(const LocalPart& part, std::int64_t offset, const Read& read);

  [[nodiscard]] std::size_t memory_bytes() const;           // its own
  [[nodiscard]] std::size_t gather_bytes() const;           // of these, places of units in use
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept;  // payload handed to other ranks so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
