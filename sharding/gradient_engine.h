// SPDX-License-Identifier: Apache-2.0
// How the leaves of the gradient tree are kept and summed over a group: the two ways behind
// GradientReducer, which decides when and on which thread. A pass reduces every unit once, last
// unit first, on all ranks alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/group.h"
#include "core/tensor.h"
#include "sharding/gradient_add.h"
#include "sharding/reducer_memory.h"
#include "sharding/shard_plan.h"

namespace finescale {

struct EngineParts {
  Group* group = nullptr;   // its ranks hold the leaves and one slice each
  Group* gather = nullptr;  // after a unit's sum its slices [first, last) are gathered here
  int first = 0;
  int last = 0;
  ShardPlan plan;
  DType dtype = DType::kF32;
  std::int64_t max_micro_batches = 1;
  LeafMemory memory = {};
};

class GradientEngine {
 public:
  virtual ~GradientEngine() = default;
  GradientEngine(const GradientEngine&) = delete;
  GradientEngine& operator=(const GradientEngine&) = delete;

  // Returns this rank's micro-batches, ascending.
  virtual std::span<const std::int64_t> begin(std::int64_t num_micro_batches) = 0;
  [[nodiscard]] virtual std::int64_t num_passes() const = 0;
  // Memory of the next leaf by unit, with what was there before.
  virtual const UnitBlocks& open_leaf() = 0;
  // Whether the open leaf belongs to a pass; else it is merged inside the rank when it is closed.
  [[nodiscard]] virtual bool in_pass() const = 0;
  virtual void close_leaf() = 0;
  // The unit is complete in this rank's leaf of the pass, if it has one. Touches no other unit and
  // nothing that the calls above touch, so another thread may carry it out. Collective over group.
  virtual void reduce_unit(std::int64_t pass, int unit) = 0;
  // Slices [first, last) of the sum, after the last pass.
  [[nodiscard]] virtual TensorView result(int unit) const = 0;
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;

 protected:
  GradientEngine() = default;
};

// Contiguous micro-batches, leaves of full size, one pass: ZeRO stages 0 and 1.
[[nodiscard]] std::unique_ptr<GradientEngine> make_contiguous_engine(EngineParts parts);
// Strided micro-batches, one pass for each row of them; leaves in the places of the plan, sums of
// slice size: ZeRO stages 2 and 3.
[[nodiscard]] std::unique_ptr<GradientEngine> make_strided_engine(EngineParts parts);

// A slice is exchanged in windows of kExchangeWindow elements.
class SliceWindows {
 public:
  explicit SliceWindows(const ShardPlan& plan)
      : plan_(&plan), length_(std::clamp<std::int64_t>(plan.longest_slice(), 1, kExchangeWindow)) {}
  [[nodiscard]] std::int64_t length() const noexcept { return length_; }
  [[nodiscard]] std::int64_t count(int unit) const {
    std::int64_t longest = 0;
    for (int rank = 0; rank < plan_->num_slices(); ++rank) {
      longest = std::max(longest, plan_->slice(unit, rank).size());
    }
    return (longest + length_ - 1) / length_;
  }
  // The elements of the rank's slice in this window; empty when the slice is shorter.
  [[nodiscard]] UnitRange at(int unit, int rank, std::int64_t window) const {
    const UnitRange slice = plan_->slice(unit, rank);
    const std::int64_t begin = std::min(slice.end, slice.begin + window * length_);
    return {begin, std::min(slice.end, begin + length_)};
  }

 private:
  const ShardPlan* plan_;
  std::int64_t length_;
};

[[nodiscard]] inline std::byte* element_at(void* data, std::int64_t element, DType dtype) {
  return static_cast<std::byte*>(data) + element * static_cast<std::int64_t>(dtype_size(dtype));
}

// Bytes of the arena for this many elements.
[[nodiscard]] inline std::size_t padded_bytes(std::int64_t elements, DType dtype) {
  return (static_cast<std::size_t>(elements) * dtype_size(dtype) + 63) / 64 * 64;
}

// Gathers slices [parts.first, parts.last) of the unit, which lie at `range`, in place; this rank
// has its own. Collective over parts.gather.
void gather_slices(const EngineParts& parts, int unit, void* range,
                   std::vector<std::size_t>& offsets);

}  // namespace finescale
