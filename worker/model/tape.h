// SPDX-License-Identifier: Apache-2.0
// A tape of fused operations: model code is written forward only; every call records what its
// backward pass needs and no more. Nothing is computed or kept for a weight that does not train.
// Activations live in one arena, gradients of activations in a pool; after the first micro-batch of
// the largest size nothing is allocated. Letters: T tokens, C model width, F feed-forward width, V
// vocabulary.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "core/arena.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/attention.h"
#include "worker/model/parameters.h"

namespace finescale {

// A weight as an operation sees it: its value and where its gradient is added (empty: frozen).
struct Weight {
  TensorView value;
  TensorView gradient;
  [[nodiscard]] bool trains() const noexcept { return !gradient.empty(); }
};

// Low-rank branch of a stacked linear: y[:, part] += scale (x A_part^T) B_part^T. Parts without an
// adapter are absent.
struct LowRankPart {
  std::int64_t row_begin = 0;  // rows of the stacked weight = columns of y
  std::int64_t row_end = 0;
  Weight b;  // [rows, r]
};
struct LowRank {
  Weight a;  // [parts * r, C]: the parts' A stacked in order
  std::vector<LowRankPart> parts;
  std::int64_t rank = 0;
  double scale = 0;
};

// y = x W^T, plus the low-rank branch when there is one; projected [T, parts * r] receives x A^T.
void linear_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                    const LowRank* adapter, const TensorView& projected, const TensorView& y);

using Value = int;  // index of a tensor on the tape
constexpr Value kNoValue = -1;

class Tape {
 public:
  explicit Tape(DType dtype) : dtype_(dtype) {}

  // Empties the tape for a micro-batch of T tokens; gradients will be recorded when `training`.
  // max_tokens bounds every later T: buffers are cut for it once. tokens, positions [T], segments
  // [S + 1] must outlive the backward pass.
  void begin(std::int64_t tokens, std::int64_t max_tokens, bool training);

  [[nodiscard]] Value embedding(std::span<const std::int32_t> tokens, const Weight& weight);
  // Adds `residual` (or kNoValue) to x and normalises: returns y; *sum is the new residual stream.
  [[nodiscard]] Value add_norm(Value x, Value residual, const Weight& weight, double eps,
                               Value* sum);
  [[nodiscard]] Value linear(Value x, const Weight& weight, const LowRank* adapter);
  // Rotates the first `columns` columns of x in place.
  void rope(Value x, std::int64_t columns, std::span<const std::int32_t> positions,
            const TensorView& cos, const TensorView& sin);
  // qkv [T, (H + 2 K) D] -> [T, H D].
  [[nodiscard]] Value attention(Value qkv, const AttentionShape& shape,
                                std::span<const std::int32_t> segments);
  [[nodiscard]] Value swiglu(Value gate_up);
  // Sum of the labelled tokens' losses (f64, fixed order). When training, the gradient of scale x
  // sum is made on the way.
  [[nodiscard]] double cross_entropy(Value x, const Weight& head,
                                     std::span<const std::int32_t> labels, double scale,
                                     TensorView* losses = nullptr);
  void backward();

  [[nodiscard]] const TensorView& data(Value value) const {
    return values_[static_cast<std::size_t>(value)].data;
  }
  // Calls of the system's allocator so far: constant in the steady state.
  [[nodiscard]] std::int64_t num_system_allocations() const noexcept;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  struct Node {
    TensorView data;
    TensorView gradient;
    bool needs_gradient = false;
  };
  struct EmbeddingOp {
    Value y;
    std::span<const std::int32_t> tokens;
    Weight weight;
  };
  struct AddNormOp {
    Value x, residual, sum, y;
    Weight weight;
    TensorView rstd;
  };
  struct LinearOp {
    Value x, y;
    Weight weight;
    const LowRank* adapter;
    TensorView projected;
  };
  struct RopeOp {
    Value x;
    std::int64_t columns;
    std::span<const std::int32_t> positions;
    TensorView cos, sin;
  };
  struct AttentionOp {
    Value qkv, y;
    AttentionShape shape;
    std::span<const std::int32_t> segments;
    TensorView lse;
  };
  struct SwigluOp {
    Value gate_up, y;
  };
  using Op = std::variant<EmbeddingOp, AddNormOp, LinearOp, RopeOp, AttentionOp, SwigluOp>;

  Value add_value(std::int64_t columns, bool needs_gradient);
  TensorView allocate(std::int64_t columns);         // [T, columns] from the arena
  TensorView gradient_buffer(std::int64_t columns);  // [T, columns] from the pool, not zeroed
  void release_gradient(TensorView& gradient);
  TensorView& gradient(Value value) { return values_[static_cast<std::size_t>(value)].gradient; }
  [[nodiscard]] bool needs_gradient(Value value) const {
    return values_[static_cast<std::size_t>(value)].needs_gradient;
  }

  void run_backward(EmbeddingOp& op);
  void run_backward(AddNormOp& op);
  void run_backward(LinearOp& op);
  void run_backward(RopeOp& op);
  void run_backward(AttentionOp& op);
  void run_backward(SwigluOp& op);
  void adapter_backward(LinearOp& op, const TensorView& dy);

  DType dtype_;
  Stream stream_;
  bool training_ = false;
  std::int64_t tokens_ = 0;
  std::int64_t max_tokens_ = 0;
  std::vector<Node> values_;
  std::vector<Op> ops_;
  // Blocks for [max_tokens, columns], handed out in order of use and kept: one list per width.
  struct Pool {
    std::vector<AlignedBuffer> blocks;
    std::vector<int> free;
    std::size_t next = 0;
  };
  std::map<std::int64_t, Pool> activations_;
  std::map<std::int64_t, Pool> gradients_;
  std::int64_t num_allocations_ = 0;
  std::size_t memory_bytes_ = 0;
};

}  // namespace finescale
