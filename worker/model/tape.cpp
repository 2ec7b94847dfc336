// SPDX-License-Identifier: Apache-2.0
#include "worker/model/tape.h"

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"

namespace finescale {

namespace {

TensorView as_view(std::span<const std::int32_t> ids) {
  return {const_cast<std::int32_t*>(ids.data()), DType::kI32,
          Shape{static_cast<std::int64_t>(ids.size())}};
}

}  // namespace

void linear_forward(const Stream& stream, const TensorView& x, const TensorView& weight,
                    const LowRank* adapter, const TensorView& projected, const TensorView& y) {
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, x, weight, 0, y);
  if (adapter == nullptr) {
    return;
  }
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, x, adapter->a.value, 0, projected);
  std::int64_t begin = 0;
  for (const LowRankPart& part : adapter->parts) {
    gemm(stream, Transpose::kNo, Transpose::kYes, adapter->scale,
         projected.columns(begin, begin + adapter->rank), part.b.value, 1,
         y.columns(part.row_begin, part.row_end));
    begin += adapter->rank;
  }
}

void Tape::begin(std::int64_t tokens, std::int64_t max_tokens, bool training) {
  FS_CHECK(tokens <= max_tokens, "micro-batch is larger than announced");
  if (max_tokens > max_tokens_) {  // every block is too small now
    activations_.clear();
    gradients_.clear();
    memory_bytes_ = 0;
    max_tokens_ = max_tokens;
  }
  tokens_ = tokens;
  training_ = training;
  values_.clear();
  ops_.clear();
  for (auto& [columns, pool] : activations_) {
    pool.next = 0;
  }
  for (auto& [columns, pool] : gradients_) {
    pool.free.clear();
    for (std::size_t i = pool.blocks.size(); i > 0; --i) {
      pool.free.push_back(static_cast<int>(i) - 1);
    }
  }
}

TensorView Tape::allocate(std::int64_t columns) {
  Pool& pool = activations_[columns];
  if (pool.next == pool.blocks.size()) {
    pool.blocks.emplace_back(static_cast<std::size_t>(max_tokens_ * columns) * dtype_size(dtype_));
    memory_bytes_ += pool.blocks.back().size_bytes();
    ++num_allocations_;
  }
  return {pool.blocks[pool.next++].data(), dtype_, Shape{tokens_, columns}};
}

TensorView Tape::gradient_buffer(std::int64_t columns) {
  Pool& pool = gradients_[columns];
  if (pool.free.empty()) {
    pool.blocks.emplace_back(static_cast<std::size_t>(max_tokens_ * columns) * dtype_size(dtype_));
    memory_bytes_ += pool.blocks.back().size_bytes();
    ++num_allocations_;
    pool.free.push_back(static_cast<int>(pool.blocks.size()) - 1);
  }
  const int block = pool.free.back();
  pool.free.pop_back();
  return {pool.blocks[static_cast<std::size_t>(block)].data(), dtype_, Shape{tokens_, columns}};
}

// Gradients of the residual stream go on living under another value, and a SwiGLU input's lies in
// its own data: only a block of the pool that no other value refers to goes back.
void Tape::release_gradient(TensorView& gradient) {
  Pool& pool = gradients_[gradient.cols()];
  int references = 0;
  for (const Node& node : values_) {
    references += static_cast<int>(node.gradient.data == gradient.data);
  }
  if (references > 1) {
    gradient = TensorView();
    return;
  }
  for (std::size_t i = 0; i < pool.blocks.size(); ++i) {
    if (pool.blocks[i].data() == gradient.data) {
      pool.free.push_back(static_cast<int>(i));
    }
  }
  gradient = TensorView();
}

Value Tape::add_value(std::int64_t columns, bool needs_gradient) {
  values_.push_back({allocate(columns), {}, training_ && needs_gradient});
  return static_cast<Value>(values_.size()) - 1;
}

Value Tape::embedding(std::span<const std::int32_t> tokens, const Weight& weight) {
  const Value y = add_value(weight.value.cols(), weight.trains());
  embedding_forward(stream_, as_view(tokens), weight.value, data(y));
  ops_.emplace_back(EmbeddingOp{y, tokens, weight});
  return y;
}

Value Tape::add_norm(Value x, Value residual, const Weight& weight, double eps, Value* sum) {
  const bool stream_needs = needs_gradient(x) || (residual != kNoValue && needs_gradient(residual));
  const Value y = add_value(data(x).cols(), stream_needs || weight.trains());
  const TensorView column = allocate(1);
  const TensorView rstd(column.data, dtype_, Shape{tokens_});
  // x's memory becomes the residual stream: nothing else reads a projection's output again.
  values_.push_back({data(x), {}, stream_needs});
  *sum = static_cast<Value>(values_.size()) - 1;
  rmsnorm_forward(stream_, data(x), residual == kNoValue ? TensorView() : data(residual),
                  weight.value, eps, data(y), rstd);
  ops_.emplace_back(AddNormOp{x, residual, *sum, y, weight, rstd});
  return y;
}

Value Tape::linear(Value x, const Weight& weight, const LowRank* adapter) {
  const bool adapter_trains = adapter != nullptr && adapter->a.trains();
  const Value y =
      add_value(weight.value.rows(), needs_gradient(x) || weight.trains() || adapter_trains);
  const TensorView projected =
      adapter == nullptr ? TensorView() : allocate(adapter->a.value.rows());
  linear_forward(stream_, data(x), weight.value, adapter, projected, data(y));
  ops_.emplace_back(LinearOp{x, y, weight, adapter, projected});
  return y;
}

void Tape::rope(Value x, std::int64_t columns, std::span<const std::int32_t> positions,
                const TensorView& cos, const TensorView& sin) {
  rope_apply(stream_, data(x).columns(0, columns), as_view(positions), cos, sin, false);
  ops_.emplace_back(RopeOp{x, columns, positions, cos, sin});
}

Value Tape::attention(Value qkv, const AttentionShape& shape,
                      std::span<const std::int32_t> segments) {
  const std::int64_t query = std::int64_t{shape.num_heads} * shape.head_dim;
  const std::int64_t key = std::int64_t{shape.num_kv_heads} * shape.head_dim;
  const Value y = add_value(query, needs_gradient(qkv));
  const TensorView lse = allocate(shape.num_heads);
  const TensorView& x = data(qkv);
  attention_forward(stream_, shape, x.columns(0, query), x.columns(query, query + key),
                    x.columns(query + key, query + 2 * key), segments, data(y), lse);
  ops_.emplace_back(AttentionOp{qkv, y, shape, segments, lse});
  return y;
}

Value Tape::swiglu(Value gate_up) {
  const Value y = add_value(data(gate_up).cols() / 2, needs_gradient(gate_up));
  swiglu_forward(stream_, data(gate_up), data(y));
  ops_.emplace_back(SwigluOp{gate_up, y});
  return y;
}

double Tape::cross_entropy(Value x, const Weight& head, std::span<const std::int32_t> labels,
                           double scale, TensorView* losses) {
  const bool want = training_ && (needs_gradient(x) || head.trains());
  const TensorView column = allocate(1);
  const TensorView token_losses(column.data, dtype_, Shape{tokens_});
  const std::int64_t vocab = head.value.rows();
  TensorView gathered = allocate(data(x).cols());
  // The logits' scratch depends on V, not on T: its own block, kept like the others under a key no
  // width has.
  const std::int64_t chunk = cross_entropy_chunk_rows(vocab, dtype_);
  Pool& pool = activations_[-vocab];
  if (pool.blocks.empty()) {
    pool.blocks.emplace_back(static_cast<std::size_t>(chunk * vocab) * dtype_size(dtype_));
    memory_bytes_ += pool.blocks.back().size_bytes();
    ++num_allocations_;
  }
  const TensorView scratch(pool.blocks[0].data(), dtype_, Shape{chunk, vocab});
  if (want) {
    gradient(x) = gradient_buffer(data(x).cols());
  }
  linear_cross_entropy(stream_, data(x), head.value, as_view(labels), TensorView(), scale,
                       token_losses, want ? gradient(x) : TensorView(),
                       want ? head.gradient : TensorView(), gathered, scratch);
  if (losses != nullptr) {
    *losses = token_losses;
  }
  return sum(stream_, token_losses);
}

void Tape::backward() {
  for (std::size_t i = ops_.size(); i > 0; --i) {
    std::visit([this](auto& op) { run_backward(op); }, ops_[i - 1]);
  }
}

void Tape::run_backward(EmbeddingOp& op) {
  if (!gradient(op.y).empty() && op.weight.trains()) {
    embedding_backward(stream_, as_view(op.tokens), gradient(op.y), op.weight.gradient);
  }
}

// The gradient of the residual stream is one buffer all the way down: what is added here by the
// norm is seen by the projection that made x (it runs next) and by the earlier norm (it adds to the
// same buffer later).
void Tape::run_backward(AddNormOp& op) {
  if (gradient(op.y).empty()) {
    if (!gradient(op.sum).empty()) {
      gradient(op.x) = gradient(op.sum);
      if (op.residual != kNoValue) {
        gradient(op.residual) = gradient(op.sum);
      }
    }
    return;
  }
  if (needs_gradient(op.sum) && gradient(op.sum).empty()) {
    gradient(op.sum) = gradient_buffer(data(op.sum).cols());
    fill_zero(stream_, gradient(op.sum));
  }
  rmsnorm_backward(stream_, gradient(op.y), data(op.sum), op.weight.value, op.rstd,
                   needs_gradient(op.sum) ? gradient(op.sum) : TensorView(), op.weight.gradient);
  release_gradient(gradient(op.y));
  if (!needs_gradient(op.sum)) {
    return;
  }
  if (needs_gradient(op.x)) {
    gradient(op.x) = gradient(op.sum);
  }
  if (op.residual != kNoValue && needs_gradient(op.residual)) {
    gradient(op.residual) = gradient(op.sum);
  }
}

void Tape::adapter_backward(LinearOp& op, const TensorView& dy) {
  const LowRank& adapter = *op.adapter;
  TensorView dprojected = gradient_buffer(adapter.a.value.rows());
  std::int64_t begin = 0;
  for (const LowRankPart& part : adapter.parts) {
    const TensorView dpart = dy.columns(part.row_begin, part.row_end);
    gemm(stream_, Transpose::kNo, Transpose::kNo, adapter.scale, dpart, part.b.value, 0,
         dprojected.columns(begin, begin + adapter.rank));
    if (part.b.trains()) {
      gemm(stream_, Transpose::kYes, Transpose::kNo, adapter.scale, dpart,
           op.projected.columns(begin, begin + adapter.rank), 1, part.b.gradient);
    }
    begin += adapter.rank;
  }
  if (adapter.a.trains()) {
    gemm(stream_, Transpose::kYes, Transpose::kNo, 1, dprojected, data(op.x), 1,
         adapter.a.gradient);
  }
  if (needs_gradient(op.x)) {
    gemm(stream_, Transpose::kNo, Transpose::kNo, 1, dprojected, adapter.a.value, 1,
         gradient(op.x));
  }
  release_gradient(dprojected);
}

void Tape::run_backward(LinearOp& op) {
  const TensorView dy = gradient(op.y);
  if (dy.empty()) {
    return;
  }
  if (op.weight.trains()) {
    gemm(stream_, Transpose::kYes, Transpose::kNo, 1, dy, data(op.x), 1, op.weight.gradient);
  }
  if (needs_gradient(op.x)) {
    gradient(op.x) = gradient_buffer(data(op.x).cols());
    gemm(stream_, Transpose::kNo, Transpose::kNo, 1, dy, op.weight.value, 0, gradient(op.x));
  }
  if (op.adapter != nullptr) {
    adapter_backward(op, dy);
  }
  release_gradient(gradient(op.y));
}

void Tape::run_backward(RopeOp& op) {
  if (!gradient(op.x).empty()) {
    rope_apply(stream_, gradient(op.x).columns(0, op.columns), as_view(op.positions), op.cos,
               op.sin, true);
  }
}

void Tape::run_backward(AttentionOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  const TensorView& x = data(op.qkv);
  gradient(op.qkv) = gradient_buffer(x.cols());
  const TensorView& dx = gradient(op.qkv);
  attention_backward(stream_, op.shape, gradient(op.y), x.columns(0, query),
                     x.columns(query, query + key), x.columns(query + key, query + 2 * key),
                     data(op.y), op.lse, op.segments, dx.columns(0, query),
                     dx.columns(query, query + key), dx.columns(query + key, query + 2 * key));
  release_gradient(gradient(op.y));
}

void Tape::run_backward(SwigluOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  // The gradient takes the memory of its input, which nobody reads again.
  gradient(op.gate_up) = data(op.gate_up);
  swiglu_backward(stream_, gradient(op.y), data(op.gate_up), gradient(op.gate_up), TensorView());
  release_gradient(gradient(op.y));
}

std::int64_t Tape::num_system_allocations() const noexcept {
  return num_allocations_;
}

std::size_t Tape::memory_bytes() const noexcept {
  return memory_bytes_;
}

}  // namespace finescale
