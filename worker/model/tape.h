// SPDX-License-Identifier: Apache-2.0
// A tape of fused operations: model code is written forward only; every call records what its
// backward pass needs and no more. Nothing is computed or kept for a weight that does not train.
// Activations lie in pools of blocks, gradients of activations in others; after the first
// micro-batch of the largest size nothing is allocated. One tape serves one micro-batch in flight.
// On a GPU that rounds the operands of products, all but the residual stream, statistics and
// gradients that norms read is stored as bf16 by the operation that makes it.
// With tensor parallelism each rank owns a range of rows (tokens) of the residual stream; matrices
// work on all rows. Letters: T tokens, C model width, F feed-forward width, V vocabulary.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "core/device.h"
#include "core/gpu_range.h"
#include "core/tensor.h"
#include "kernels/attention.h"
#include "kernels/divergence.h"
#include "worker/data/batch.h"
#include "worker/model/linear.h"
#include "worker/model/parameters.h"
#include "worker/model/pointwise.h"
#include "worker/model/prefix_encoder.h"
#include "worker/model/row_exchange.h"

namespace finescale {

using Value = int;  // index of a tensor on the tape
constexpr Value kNoValue = -1;

// Called where a pass enters and leaves a unit of the parameters; null members: nothing. Forward:
// its values are needed from enter to leave. Backward: values and gradients from enter to leave; at
// leave the gradients of the unit are complete. Units without a backward pass are not entered in
// it.
struct UnitHooks {
  std::function<void(int unit, bool backward)> enter, leave;
  // Whether values come and go. Else a forward pass may call from several threads, in any order.
  bool gathers = true;
};

// What the backward pass makes again instead of keeping it, with the same bits. kSelective: outputs
// of norms and activations. kFull: all of a layer but its input. kNone: what costs next to nothing:
// in the host's memory without tensor parallelism what kSelective makes again, else nothing.
enum class Recompute { kNone, kSelective, kFull };

struct TapeOptions {
  Group* tensor = nullptr;  // null: not tensor parallel
  Recompute recompute = Recompute::kNone;
  const UnitHooks* hooks = nullptr;  // outlives the tape
  Stream stream = Stream();
};

class Tape {
 public:
  explicit Tape(DType dtype, const TapeOptions& options = {})
      : exchange_(options.tensor, options.stream),
        hooks_(options.hooks),
        stream_(options.stream),
        dtype_(dtype),
        operand_dtype_(finescale::operand_dtype(options.stream, dtype)),
        recompute_(options.recompute),
        remakes_(options.recompute == Recompute::kSelective ||
                 (options.recompute == Recompute::kNone && !options.stream.on_gpu() &&
                  !exchange_.active())) {}

  // Empties the tape for a micro-batch of T tokens; gradients will be recorded when `training`.
  // max_tokens bounds every later T: buffers are cut for it once. Tokens, positions [T], segments
  // [S + 1] and weights must outlive the backward pass; gradients of weights are looked up in it.
  void begin(std::int64_t tokens, std::int64_t max_tokens, bool training);

  // Markers around the operations of one unit. keep_columns > 0: with kFull its activations are
  // made again, and without a backward pass (through it: is_frozen) nobody needs them: only the sum
  // that add() makes next, of so many columns, is kept.
  void enter_unit(int unit, std::int64_t keep_columns = 0, bool is_frozen = false);
  void leave_unit(int unit);
  // Enters the unit's backward pass now: the next operation adds to its gradients already.
  void open_gradient(int unit);

  // Hidden state of the piece in front: this rank's rows [own, C], to be filled by the caller.
  Value input(std::int64_t columns);
  [[nodiscard]] Value input_value() const noexcept { return input_; }
  // weight: rows [first_token, ...) of the vocabulary; its rows are multiplied by `scale`. prompt
  // [P, C]: the first P tokens are none of the vocabulary (kNoRow), their rows are its; null: none.
  [[nodiscard]] Value embedding(std::span<const std::int32_t> tokens, const Weight& weight,
                                std::int64_t first_token = 0, double scale = 1,
                                const Weight* prompt = nullptr);
  // x plus the rows of learned positions, in x's memory.
  [[nodiscard]] Value add_positions(Value x, std::span<const std::int32_t> positions,
                                    const Weight& weight);
  // Adds `residual` (or kNoValue) to x and normalises: returns y (all rows); *sum is the new
  // residual stream. Norms whose outputs are needed at the same time take different slots.
  [[nodiscard]] Value add_norm(Value x, Value residual, const Weight& weight, const NormRule& rule,
                               Value* sum, std::size_t slot = 0);
  // x + residual, in x's memory unless a unit's output is kept (then it is what add() must make).
  [[nodiscard]] Value add(Value x, Value residual);
  // The same for two branches inside a unit, always in x's memory. Forward, both branches' inputs
  // must have been made before either branch: their gradients go into one buffer.
  [[nodiscard]] Value join(Value x, Value other);
  // x + branch in the branch's memory, where the branch is made of x itself.
  [[nodiscard]] Value bypass(Value x, Value branch);
  [[nodiscard]] bool keeps_sum() const noexcept { return !kept_.empty(); }
  [[nodiscard]] bool training() const noexcept { return training_; }
  [[nodiscard]] bool needs_gradient(Value value) const {
    return value != kNoValue && values_[static_cast<std::size_t>(value)].needs_gradient;
  }
  [[nodiscard]] Value linear(Value x, const Weight& weight, const LowRank* adapter,
                             Split split = Split::kOutputs);
  // RMSNorm of every head of q and k in qkv [T, (H + 2 K) D]; v as it is.
  [[nodiscard]] Value head_norm(Value qkv, const AttentionShape& shape, const Weight& q,
                                const Weight& k, double eps);
  // Keys and values of virtual tokens, made here and now. Their gradients are complete when the
  // layers behind have been gone through backward.
  void encode(PrefixEncoder& encoder);
  // Rotates heads of head_dim in the first `columns` columns of x in place, each as far as the
  // tables go.
  void rope(Value x, std::int64_t columns, std::int64_t head_dim,
            std::span<const std::int32_t> positions, const TensorView& cos, const TensorView& sin);
  // qkv [T, (H + 2 K) D] -> [T, H D]. Every token sees `prefix` besides (null: none), and those
  // behind the first `seen_rows` see these: a segment of its own that all others continue.
  [[nodiscard]] Value attention(Value qkv, const AttentionShape& shape,
                                std::span<const std::int32_t> segments,
                                const PrefixKeys* prefix = nullptr, std::int64_t seen_rows = 0);
  // in_branch: of a network beside the stream, on the rows of its input.
  [[nodiscard]] Value activation(Value x, const ActivationRule& rule, bool in_branch = false);
  // Sum of the labelled tokens' losses (f64, fixed order). When training, the gradient of scale x
  // sum is made on the way. head: rows [first_token, ...) of the vocabulary.
  // With `weigh`, when training: it is given the tokens' losses [T], fills weights [T] and returns
  // what the sum is; the gradient is that of the weighted losses. The head's product is made twice.
  using Weigh = std::function<double(const TensorView& losses, const TensorView& weights)>;
  // What the loss is besides the labels' likelihood.
  struct Terms {
    Weigh weigh = {};
    std::span<const double> weights = {};  // [T] of the tokens' losses, in the sum too; empty: ones
    std::optional<TeacherRows> teacher = {};  // its scratch is the tape's
  };
  [[nodiscard]] double cross_entropy(Value x, const Weight& head,
                                     std::span<const std::int32_t> labels, double scale,
                                     TensorView* losses, std::int64_t first_token,
                                     const Terms& terms);
  [[nodiscard]] double cross_entropy(Value x, const Weight& head,
                                     std::span<const std::int32_t> labels, double scale,
                                     TensorView* losses = nullptr, std::int64_t first_token = 0) {
    return cross_entropy(x, head, labels, scale, losses, first_token, Terms());
  }

  // The micro-batch as the model runs it, where that is not the caller's; kept for the passes.
  [[nodiscard]] MicroBatch& own_batch() noexcept { return own_batch_; }

  // What cross_entropy was given, [T, C]; valid until begin().
  [[nodiscard]] const TensorView& scored() const { return data(scored_); }

  // The value that the next piece begins with, and where its gradient goes before backward().
  void set_output(Value value) noexcept { output_ = value; }
  [[nodiscard]] const TensorView& output() const { return data(output_); }
  [[nodiscard]] TensorView output_gradient();
  // Collective over the tensor group, as all operations are.
  void backward();
  // After backward(): of what input() began with; empty when there was none.
  [[nodiscard]] TensorView input_gradient() const;
  // After backward(), when the embedding trains but its weight has no gradient here: the rows
  // [U, C] that belong to the gradient of the tied head, and their tokens [U], relative to
  // first_token. Valid until begin().
  struct EmbeddingRows {
    TensorView ids;
    TensorView rows;
  };
  [[nodiscard]] const EmbeddingRows& embedding_rows() const noexcept { return embedding_rows_; }

  [[nodiscard]] const TensorView& data(Value value) const {
    return values_[static_cast<std::size_t>(value)].data;
  }
  // Calls of the system's allocator so far: constant in the steady state.
  [[nodiscard]] std::int64_t num_system_allocations() const noexcept { return num_allocations_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return memory_bytes_; }
  [[nodiscard]] std::size_t activation_bytes() const noexcept;  // of these, kept for backward

 private:
  enum class Rows { kAll, kOwn };
  struct Node {
    TensorView data;
    TensorView gradient;
    Rows rows = Rows::kAll;
    bool needs_gradient = false;
    int maker = -1;  // operation that makes the data again, -1: they are kept
    DType gradient_dtype = DType::kF32;
  };
  struct EnterOp {
    int unit;
    bool backward;
  };
  struct LeaveOp {
    int unit;
    std::size_t first;  // the unit's operations: [first, this)
    bool backward;      // something in the unit needs a gradient
    bool opened;        // its backward pass has been entered by open_gradient
    bool again;         // its activations must be made again
  };
  struct EmbeddingOp {
    Value y;
    std::span<const std::int32_t> tokens;  // relative to the rows of the weight
    const Weight* weight;
    double scale;
    const Weight* prompt;
  };
  struct EncodeOp {
    PrefixEncoder* encoder;
  };
  struct PositionsOp {
    Value x, y;
    std::span<const std::int32_t> positions;  // of this rank's rows
    const Weight* weight;
  };
  struct AddNormOp {
    Value x, residual, sum, y;
    const Weight* weight;
    NormRule rule;
    TensorView statistics;
  };
  struct AddOp {
    Value x, residual, y;
  };
  struct BypassOp {
    Value x, branch, y;
  };
  struct LinearOp {
    Value x, y;
    const Weight* weight;
    const LowRank* adapter;
    TensorView projected;
    TensorView unscaled;  // y before its columns are multiplied; empty: they are not
    Split split;
  };
  struct HeadNormOp {
    Value x, y;
    AttentionShape shape;
    const Weight* q;
    const Weight* k;
    double eps;
    TensorView q_rstd, k_rstd;
  };
  struct RopeOp {
    Value x;
    std::int64_t columns;
    std::int64_t head_dim;
    std::span<const std::int32_t> positions;
    TensorView cos, sin;
  };
  struct AttentionOp {
    Value qkv, y;
    AttentionShape shape;
    std::span<const std::int32_t> segments;
    TensorView lse;
    const PrefixKeys* prefix;
    std::int64_t seen_rows;
  };
  // What the tokens from row `first` on see besides their segments; without keys: nothing.
  struct Seen {
    std::int64_t first = 0;
    TensorView k, v;
  };
  struct ActivationOp {
    Value x, y;
    ActivationRule rule;
  };
  // What a linear layer's backward pass leaves until its input has been made again.
  struct WeightGradient {
    const LinearOp* op = nullptr;
    TensorView own;                         // of y, in front of its factors
    TensorView dy;                          // the same of all rows
    TensorView dprojected;                  // of x A^T, when there are branches
    std::unique_ptr<SharedOperand> shared;  // dy
  };
  using Op = std::variant<EnterOp, LeaveOp, EmbeddingOp, EncodeOp, PositionsOp, AddNormOp, AddOp,
                          BypassOp, LinearOp, HeadNormOp, RopeOp, AttentionOp, ActivationOp>;
  // Blocks for [max_tokens, columns], handed out in order of use and kept: one list per width.
  struct Pool {
    std::vector<AlignedBuffer> blocks;
    std::vector<int> free;
    std::size_t next = 0;
    std::size_t mark = 0;  // next at the beginning of a unit whose blocks are used again
  };
  struct Uploaded {
    std::span<const std::int32_t> host;
    AlignedBuffer memory;  // of the GPU, [max_tokens + 1]
  };
  struct PoolKey {
    std::int64_t columns;
    Rows rows;
    DType dtype;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the operator for a 0
    auto operator<=>(const PoolKey&) const = default;
  };
  using Pools = std::map<PoolKey, Pool>;

  // Memory.
  void add_block(Pool& pool, std::int64_t elements, DType dtype);
  // For as many rows as there can be.
  void add_block_of_rows(Pool& pool, std::int64_t columns, Rows rows, DType dtype);
  [[nodiscard]] Pool& pool_of(Pools& pools, std::int64_t columns, Rows rows, DType dtype);
  [[nodiscard]] TensorView block_view(const Pool& pool, std::size_t block, std::int64_t columns,
                                      Rows rows, DType dtype) const;
  [[nodiscard]] TensorView allocate(std::int64_t columns, Rows rows, DType dtype);
  [[nodiscard]] TensorView allocate(std::int64_t columns, Rows rows = Rows::kAll) {
    return allocate(columns, rows, dtype_);
  }
  // Overwritten by its slot's next user. of_branch: in blocks of its own.
  [[nodiscard]] TensorView shared_block(std::int64_t columns, std::size_t slot, Rows rows,
                                        DType dtype, bool of_branch = false);
  [[nodiscard]] TensorView shifted(const NormRule& rule, std::int64_t columns);  // scratch of norms
  [[nodiscard]] TensorView gradient_buffer(std::int64_t columns, Rows rows, DType dtype);
  [[nodiscard]] TensorView gradient_buffer(std::int64_t columns, Rows rows) {  // not zeroed
    return gradient_buffer(columns, rows, dtype_);
  }
  [[nodiscard]] TensorView gradient_buffer_of(Value value) {
    const Node& of = node(value);
    return gradient_buffer(of.data.cols(), of.rows, of.gradient_dtype);
  }
  void give_back(const TensorView& buffer, Rows rows);
  void release_gradient(Value value);
  // Ids of the micro-batch where the stream's device can read them: on a GPU copied there once.
  [[nodiscard]] TensorView ids(std::span<const std::int32_t> host);
  Value add_value(const TensorView& data, Rows rows, bool needs_gradient, int maker = -1);
  [[nodiscard]] Node& node(Value value) { return values_[static_cast<std::size_t>(value)]; }
  TensorView& gradient(Value value) { return node(value).gradient; }

  // The operation itself, once more when its activations are made again.
  template <class T>
  void record(T op) {
    run_forward(op);
    ops_.emplace_back(std::move(op));
  }
  void run_forward(const EnterOp& op);
  void run_forward(const LeaveOp& op);
  void run_forward(const EmbeddingOp& op);
  void run_forward(const EncodeOp& op);
  void run_forward(const PositionsOp& op);
  void run_forward(const AddNormOp& op);
  void run_forward(const AddOp& op);
  void run_forward(const BypassOp& op);
  void run_forward(const LinearOp& op);
  void run_forward(const HeadNormOp& op);
  void run_forward(const RopeOp& op);
  void run_forward(const AttentionOp& op);
  void run_forward(const ActivationOp& op);
  [[nodiscard]] Seen seen_by(const AttentionOp& op) const;
  void prefix_backward(const AttentionOp& op, const Seen& seen);
  // Calls f(rows of the prompt, rows of a value that they are) for those that this rank owns.
  template <class Visit>
  void with_prompt_rows(const TensorView& prompt, const TensorView& rows, Visit&& f) const {
    const std::int64_t first = exchange_.begin(tokens_, exchange_.rank());
    const std::int64_t end = std::min(prompt.rows(), first + rows.rows());
    if (first < end) {
      f(prompt.row_range(first, end), rows.row_range(0, end - first));
    }
  }
  void make_again(Value value);  // its data, when they were not kept
  // Whether a layer's weights wait for these data, not kept, to be made again; and their gradients.
  [[nodiscard]] bool is_awaited(Value value) const;
  void finish_weights(Value value);
  void finish(WeightGradient& rest);
  void sum_rows(const TensorView& partial, const TensorView& sum);  // reduce-scatter

  void run_backward(const EnterOp& op);
  void run_backward(const LeaveOp& op);
  void run_backward(const EmbeddingOp& op);
  void run_backward(const EncodeOp& op);
  void run_backward(const PositionsOp& op);
  void run_backward(const AddNormOp& op);
  void run_backward(const AddOp& op);
  void run_backward(const BypassOp& op);
  void run_backward(const LinearOp& op);
  void run_backward(const HeadNormOp& op);
  void run_backward(const RopeOp& op);
  void run_backward(const AttentionOp& op);
  void run_backward(const ActivationOp& op);
  // own: the part of dy that belongs to rows of this rank, which biases are added to.
  void weight_backward(const LinearOp& op, const TensorView& dy, const TensorView& own);
  void entries_backward(const TensorView& dy, const TensorView& x, const WeightRows& part);
  // products: of dx, to which the branches' are added; all are carried out.
  void low_rank_backward(WeightGradient& rest, RowProducts& products);
  void scaled_backward(const LowRank& adapter, const LowRankPart& part, const TensorView& dy,
                       const TensorView& projected);
  // The gradient in front of the factors of y, in a buffer to be given back.
  [[nodiscard]] TensorView factors_backward(const LinearOp& op);
  void input_backward(const LinearOp& op, const TensorView& dy, RowProducts& products);
  [[nodiscard]] TensorView multiplied_input(const LinearOp& op);
  // The adapter as products take it: itself, or in `made` with what is made of scaled matrices.
  [[nodiscard]] const LowRank* made_adapter(const LowRank* adapter, LowRank& made);
  // So many elements of it, in front of those of the largest scaled part's gradient.
  [[nodiscard]] TensorView made_scratch(const LowRank& adapter);

  RowExchange exchange_;
  const UnitHooks* hooks_;
  Stream stream_;
  DType dtype_;
  DType operand_dtype_;  // of all but the residual stream
  Recompute recompute_;
  bool remakes_;  // outputs of norms and activations
  bool training_ = false;
  bool again_ = false;  // activations of the unit being recorded will be made again
  Value input_ = kNoValue;
  Value scored_ = kNoValue;
  Value output_ = kNoValue;
  std::int64_t tokens_ = 0;
  std::int64_t max_tokens_ = 0;
  std::vector<Node> values_;
  std::vector<Op> ops_;
  std::vector<WeightGradient> waiting_;
  std::size_t unit_op_ = 0;        // the last EnterOp
  std::optional<GpuRange> range_;  // of the unit in the backward pass
  std::size_t unit_value_ = 0;     // values of its unit begin here
  TensorView kept_;                // for the next add(), empty: in place
  Pools activations_;
  Pools shared_;
  Pools gradients_;
  AlignedBuffer shifted_;
  AlignedBuffer made_;            // of scaled matrices, one adapter after the other
  AlignedBuffer dense_gradient_;  // of a matrix of which elements train
  std::vector<TensorView> received_;
  std::vector<std::int32_t> local_tokens_;
  AlignedBuffer row_ids_;  // [max_tokens] i32
  std::vector<Uploaded> uploaded_;
  std::size_t num_uploaded_ = 0;  // since begin()
  EmbeddingRows embedding_rows_;
  MicroBatch own_batch_;
  std::int64_t num_allocations_ = 0;
  std::size_t memory_bytes_ = 0;
};

}  // namespace finescale
