// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "kernels/bias.h"
#include "kernels/embedding.h"
#include "kernels/factors.h"
#include "kernels/gemm.h"
#include "kernels/head_norm.h"
#include "kernels/prefix_attention.h"
#include "kernels/reduce.h"
#include "kernels/rope.h"
#include "kernels/scaled_matrix.h"
#include "worker/model/tape.h"

namespace finescale {

TensorView Tape::output_gradient() {
  const TensorView buffer = gradient_buffer(data(output_).cols(), node(output_).rows);
  if (needs_gradient(output_)) {
    gradient(output_) = buffer;
  }
  return buffer;  // it is sent even where nothing needs it
}

TensorView Tape::input_gradient() const {
  return input_ == kNoValue ? TensorView() : values_[static_cast<std::size_t>(input_)].gradient;
}

void Tape::backward() {
  for (std::size_t i = ops_.size(); i > 0; --i) {
    std::visit([this](const auto& op) { run_backward(op); }, ops_[i - 1]);
  }
}

void Tape::run_backward(const EmbeddingOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  TensorView dy = gradient(op.y);
  if (op.scale != 1) {  // nobody else reads it any more
    affine_in_place(stream_, op.scale, 0, dy);
  }
  if (op.prompt != nullptr && op.prompt->trains) {
    with_prompt_rows(op.prompt->gradient, dy, [this](const TensorView& to, const TensorView& from) {
      add_in_place(stream_, from, to);
    });
  }
  if (!op.weight->trains) {
    return;
  }
  if (exchange_.active()) {
    dy = gradient_buffer(data(op.y).cols(), Rows::kAll);
    copy(stream_, gradient(op.y), exchange_.own(dy));
    exchange_.all_gather(dy);
  }
  const TensorView tokens = ids(op.tokens);
  if (!op.weight->gradient.empty()) {
    embedding_backward(stream_, tokens, dy, op.weight->gradient);
    return;
  }
  // The rows are sent, and take the memory of the gradient, which nobody reads again.
  if (row_ids_.size_bytes() == 0) {
    row_ids_ = AlignedBuffer(static_cast<std::size_t>(max_tokens_) * sizeof(std::int32_t), stream_,
                             MemoryPurpose::kActivations);
  }
  const TensorView found(row_ids_.data(), DType::kI32, {tokens_});
  const std::int64_t count = embedding_gather_gradient(stream_, tokens, dy, found, dy);
  embedding_rows_ = {TensorView(row_ids_.data(), DType::kI32, {count}), dy.row_range(0, count)};
}

void Tape::run_backward(const EncodeOp& op) {
  op.encoder->backward(stream_);
}

// Each rank's rows make a part of the sum over ranks.
void Tape::run_backward(const PositionsOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  if (op.weight->trains) {
    embedding_backward(stream_, ids(op.positions), gradient(op.y), op.weight->gradient);
  }
  if (needs_gradient(op.x)) {
    gradient(op.x) = gradient(op.y);
  }
}

bool Tape::is_awaited(Value value) const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [value](const WeightGradient& rest) { return rest.op->x == value; });
}

void Tape::finish_weights(Value value) {
  for (WeightGradient& rest : waiting_) {
    if (rest.op->x == value) {
      finish(rest);
    }
  }
  std::erase_if(waiting_, [value](const WeightGradient& rest) { return rest.op->x == value; });
}

// The gradient of the residual stream is one buffer all the way down: what is added here by the
// norm is seen by the projection that made x (it runs next) and by the earlier norm (it adds to the
// same buffer later).
void Tape::run_backward(const AddNormOp& op) {
  if (!gradient(op.y).empty()) {
    if (needs_gradient(op.sum) && gradient(op.sum).empty()) {
      gradient(op.sum) = gradient_buffer(data(op.sum).cols(), Rows::kOwn);
      fill_zero(stream_, gradient(op.sum));
    }
    TensorView dy = gradient(op.y);
    if (exchange_.active()) {  // each rank's is a part of a sum over the outputs' ranks
      dy = gradient_buffer(data(op.y).cols(), Rows::kOwn);
      sum_rows(gradient(op.y), dy);
    }
    norm_backward(stream_, op.rule, dy, data(op.sum), *op.weight, shifted(op.rule, dy.cols()),
                  op.statistics, needs_gradient(op.sum) ? gradient(op.sum) : TensorView());
    if (exchange_.active()) {
      give_back(dy, Rows::kOwn);
    }
    release_gradient(op.y);
  }
  if (is_awaited(op.y)) {
    make_again(op.y);
    finish_weights(op.y);
  }
  if (!gradient(op.sum).empty()) {
    if (needs_gradient(op.x)) {
      gradient(op.x) = gradient(op.sum);
    }
    if (needs_gradient(op.residual)) {
      gradient(op.residual) = gradient(op.sum);
    }
  }
}

void Tape::run_backward(const AddOp& op) {
  if (needs_gradient(op.x)) {
    gradient(op.x) = gradient(op.y);
  }
  if (needs_gradient(op.residual)) {
    gradient(op.residual) = gradient(op.y);
  }
}

// The gradient of y goes on as that of the stream: what the branch adds to x's must not be in it.
void Tape::run_backward(const BypassOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  if (needs_gradient(op.x)) {
    gradient(op.x) = gradient_buffer(data(op.x).cols(), Rows::kOwn);
    copy(stream_, gradient(op.y), gradient(op.x));
  }
  if (needs_gradient(op.branch)) {
    gradient(op.branch) = gradient(op.y);
  }
}

// Branches are carried out one after the other in the same scratch; x A^T of the one that trains
// was kept.
void Tape::low_rank_backward(WeightGradient& rest, RowProducts& products) {
  const LinearOp& op = *rest.op;
  LowRank made;
  const LowRank& adapter = *made_adapter(op.adapter, made);
  const TensorView dprojected =
      gradient_buffer(adapter.a.value.rows(), Rows::kAll, op.projected.dtype);
  rest.dprojected = dprojected;
  // Calls f(part, its columns of dy, of x A^T, of the gradient of that).
  const auto for_parts = [&](const LowRank& branch, const auto& f) {
    std::int64_t begin = 0;
    for (const LowRankPart& part : branch.parts) {
      f(part, rest.dy.columns(part.row_begin, part.row_end),
        op.projected.columns(begin, begin + branch.rank),
        dprojected.columns(begin, begin + branch.rank));
      begin += branch.shares_a ? 0 : branch.rank;
    }
  };
  const auto add_branch = [&](const LowRank& branch) {
    for_parts(branch, [&](const LowRankPart& part, const TensorView& dpart,
                          const TensorView& /*projected*/, const TensorView& gradient) {
      const bool adds = branch.shares_a && &part != branch.parts.data();
      products.add(branch.scale, dpart, part.b.value, adds ? 1 : 0, gradient);
    });
    if (needs_gradient(op.x)) {
      products.add(1, dprojected, branch.a.value, 1, gradient(op.x));
    }
  };
  if (adapter.frozen != nullptr && needs_gradient(op.x)) {
    add_branch(*adapter.frozen);
  }
  add_branch(adapter);
  products.run(stream_, Transpose::kNo);
  for_parts(adapter, [&](const LowRankPart& part, const TensorView& dpart,
                         const TensorView& projected, const TensorView& /*gradient*/) {
    if (part.b.trains) {
      gemm(stream_, Transpose::kYes, Transpose::kNo, adapter.scale, dpart, projected, 1,
           part.b.gradient);
    }
    if (!part.scaled.matrix.empty()) {
      scaled_backward(adapter, part, dpart, projected);
    }
  });
}

// What the made matrix would learn, as what its diagonals learn.
void Tape::scaled_backward(const LowRank& adapter, const LowRankPart& part, const TensorView& dy,
                           const TensorView& projected) {
  const ScaledMatrix& scaled = part.scaled;
  const TensorView scratch = made_scratch(adapter);
  const TensorView gradient(
      scratch.as<std::byte>() +
          static_cast<std::size_t>(adapter.made_elements()) * dtype_size(dtype_),
      dtype_, scaled.matrix.shape);
  gemm(stream_, Transpose::kYes, Transpose::kNo, adapter.scale, dy, projected, 0, gradient);
  scale_matrix_gradient(stream_, gradient, scaled.rows.value, scaled.matrix, scaled.columns.value,
                        scaled.rows.gradient, scaled.columns.gradient);
}

TensorView Tape::factors_backward(const LinearOp& op) {
  const TensorView& dy = gradient(op.y);
  for (const ColumnFactors& part : op.adapter->outputs) {
    if (part.factor.trains) {
      scale_columns_gradient(stream_, dy.columns(part.begin, part.end),
                             op.unscaled.columns(part.begin, part.end), part.constant,
                             part.factor.gradient);
    }
  }
  const TensorView scaled = gradient_buffer_of(op.y);
  multiply_columns(stream_, op.adapter->outputs, dy, scaled);
  return scaled;
}

// Of x, through W and what x is multiplied with.
void Tape::input_backward(const LinearOp& op, const TensorView& dy, RowProducts& products) {
  const bool has_factors = op.adapter != nullptr && !op.adapter->inputs.empty();
  if (!has_factors && !needs_gradient(op.x)) {
    return;
  }
  const bool is_first = gradient(op.x).empty();  // of the operations that read x
  if (is_first && needs_gradient(op.x)) {
    gradient(op.x) = gradient_buffer_of(op.x);
  }
  if (!op.weight->quantised.empty()) {
    FS_CHECK(!has_factors, "factors of the inputs of a quantised matrix");
    quantised_input_gradient(stream_, dy, *op.weight, is_first ? 0 : 1, gradient(op.x));
    return;
  }
  if (!has_factors) {
    products.add(1, dy, op.weight->factor(), is_first ? 0 : 1, gradient(op.x));
    return;
  }
  const TensorView dx = gradient_buffer(data(op.x).cols(), Rows::kAll);
  gemm(stream_, Transpose::kNo, Transpose::kNo, 1, dy, op.weight->factor(), 0, dx);
  for (const ColumnFactors& part : op.adapter->inputs) {
    if (part.factor.trains) {
      scale_columns_gradient(stream_, dx.columns(part.begin, part.end),
                             data(op.x).columns(part.begin, part.end), part.constant,
                             part.factor.gradient);
    }
  }
  if (needs_gradient(op.x)) {
    multiply_columns(stream_, op.adapter->inputs, dx, is_first ? gradient(op.x) : dx);
    if (!is_first) {
      add_in_place(stream_, dx, gradient(op.x));
    }
  }
  give_back(dx, Rows::kAll);
}

// The whole gradient is made, in memory that all matrices share.
void Tape::entries_backward(const TensorView& dy, const TensorView& x, const WeightRows& part) {
  const std::size_t bytes = static_cast<std::size_t>(dy.cols() * x.cols()) * dtype_size(dtype_);
  if (dense_gradient_.size_bytes() < bytes) {
    memory_bytes_ += bytes - dense_gradient_.size_bytes();
    dense_gradient_ = AlignedBuffer(bytes, stream_, MemoryPurpose::kGradients);
    ++num_allocations_;
  }
  const TensorView whole(dense_gradient_.data(), dtype_, Shape{dy.cols(), x.cols()});
  gemm(stream_, Transpose::kYes, Transpose::kNo, 1, dy, x, 0, whole);
  gather_entries(stream_, part.entries, whole, part.gradient);
  if (!part.sums.empty()) {
    add_in_steps(stream_, whole, part.sums);
  }
}

void Tape::weight_backward(const LinearOp& op, const TensorView& dy, const TensorView& own) {
  const auto add = [&](const TensorView& all, const TensorView& rows, const TensorView& gradient,
                       const TensorView& of_bias) {
    if (!gradient.empty()) {
      gemm(stream_, Transpose::kYes, Transpose::kNo, 1, all, data(op.x), 1, gradient);
    }
    if (!of_bias.empty()) {  // of rows that this rank owns, when y is a sum over ranks
      bias_gradient(stream_, rows, of_bias);
    }
  };
  if (op.weight->rows.empty()) {
    add(dy, own, op.weight->gradient, op.weight->bias_gradient);
    return;
  }
  for (const WeightRows& part : op.weight->rows) {
    if (!part.entries.places.empty()) {
      entries_backward(dy.columns(part.begin, part.end), data(op.x), part);
      continue;
    }
    add(dy.columns(part.begin, part.end), own.columns(part.begin, part.end), part.gradient,
        part.bias_gradient);
  }
}

// The weights' gradients come last: their input is made again with the backward pass of what made
// it.
void Tape::run_backward(const LinearOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  const LowRank* const adapter = op.adapter;
  const bool has_factors = adapter != nullptr && !adapter->outputs.empty();
  WeightGradient rest;
  rest.op = &op;
  rest.own = has_factors ? factors_backward(op) : gradient(op.y);
  rest.dy = rest.own;
  if (op.split == Split::kInputs && exchange_.active()) {
    rest.dy = gradient_buffer(data(op.y).cols(), Rows::kAll);
    copy(stream_, rest.own, exchange_.own(rest.dy));
    exchange_.all_gather(rest.dy);
  }
  if (adapter != nullptr && !adapter->inputs.empty()) {
    make_again(op.x);  // its factors' gradients need it now
  }
  rest.shared = std::make_unique<SharedOperand>(stream_, rest.dy);
  RowProducts products;
  input_backward(op, rest.dy, products);
  const bool has_branch = adapter != nullptr && !adapter->parts.empty();
  if (has_branch) {
    low_rank_backward(rest, products);
  } else {
    products.run(stream_, Transpose::kNo);
  }
  const bool needs_input = op.weight->trains || (has_branch && adapter->a.trains);
  if (needs_input && node(op.x).maker >= 0) {
    waiting_.push_back(std::move(rest));
  } else {
    finish(rest);
  }
}

void Tape::finish(WeightGradient& rest) {
  const LinearOp& op = *rest.op;
  if (op.weight->trains) {
    weight_backward(op, rest.dy, rest.own);
  }
  if (!rest.dprojected.empty()) {
    const Weight& a = op.adapter->a;
    if (a.trains) {
      gemm(stream_, Transpose::kYes, Transpose::kNo, 1, rest.dprojected, data(op.x), 1, a.gradient);
    }
    give_back(rest.dprojected, Rows::kAll);
  }
  if (rest.dy.data != rest.own.data) {
    give_back(rest.dy, Rows::kAll);
  }
  if (rest.own.data != gradient(op.y).data) {
    give_back(rest.own, node(op.y).rows);
  }
  release_gradient(op.y);
}

// In the memory of y's gradient: v's columns stay as they are.
void Tape::run_backward(const HeadNormOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  const TensorView dy = gradient(op.y);
  const auto part = [&](std::int64_t begin, std::int64_t end, const Weight& weight,
                        const TensorView& rstd) {
    head_norm_backward(stream_, dy.columns(begin, end), data(op.x).columns(begin, end),
                       weight.value, rstd,
                       needs_gradient(op.x) ? dy.columns(begin, end) : TensorView(),
                       weight.trains ? weight.gradient : TensorView());
  };
  part(0, query, *op.q, op.q_rstd);
  part(query, query + key, *op.k, op.k_rstd);
  if (needs_gradient(op.x)) {
    gradient(op.x) = dy;
  }
  release_gradient(op.y);
}

void Tape::run_backward(const RopeOp& op) {
  if (!gradient(op.x).empty()) {
    rope_apply(stream_, gradient(op.x).columns(0, op.columns), op.head_dim, ids(op.positions),
               op.cos, op.sin, true);
  }
}

void Tape::run_backward(const AttentionOp& op) {
  if (gradient(op.y).empty()) {
    return;
  }
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  if (const Seen seen = seen_by(op); !seen.k.empty()) {
    prefix_backward(op, seen);
    release_gradient(op.y);
    return;
  }
  const TensorView& x = data(op.qkv);
  gradient(op.qkv) = gradient_buffer_of(op.qkv);
  const TensorView& dx = gradient(op.qkv);
  attention_backward(stream_, op.shape, gradient(op.y), x.columns(0, query),
                     x.columns(query, query + key), x.columns(query + key, query + 2 * key),
                     data(op.y), op.lse, op.segments, dx.columns(0, query),
                     dx.columns(query, query + key), dx.columns(query + key, query + 2 * key),
                     stream_.on_gpu() ? ids(op.segments) : TensorView());
  release_gradient(op.y);
}

// The segments' part first: it overwrites what the prefix adds to.
void Tape::prefix_backward(const AttentionOp& op, const Seen& seen) {
  const std::int64_t query = std::int64_t{op.shape.num_heads} * op.shape.head_dim;
  const std::int64_t key = std::int64_t{op.shape.num_kv_heads} * op.shape.head_dim;
  const TensorView& x = data(op.qkv);
  const TensorView& dy = gradient(op.y);
  const TensorView delta = gradient_buffer(op.shape.num_heads, Rows::kAll);
  attention_delta(stream_, op.shape, dy, data(op.y), delta);
  const auto behind = [&](const TensorView& rows) { return rows.row_range(seen.first, tokens_); };
  PrefixGradients gradients;
  if (op.prefix != nullptr) {
    gradients = {{}, op.prefix->k.gradient, op.prefix->v.gradient};
  }
  if (needs_gradient(op.qkv)) {
    gradient(op.qkv) = gradient_buffer(x.cols(), Rows::kAll);
    const TensorView& dx = gradient(op.qkv);
    attention_backward_given(
        stream_, op.shape, dy, x.columns(0, query), x.columns(query, query + key),
        x.columns(query + key, query + 2 * key), op.lse, delta, op.segments, dx.columns(0, query),
        dx.columns(query, query + key), dx.columns(query + key, query + 2 * key));
    gradients.dq = behind(dx.columns(0, query));
    if (op.seen_rows > 0) {
      const TensorView rows = dx.row_range(0, op.seen_rows);
      gradients.dk = rows.columns(query, query + key);
      gradients.dv = rows.columns(query + key, query + 2 * key);
    }
  }
  const TensorView weights = gradient_buffer(seen.k.rows(), Rows::kAll);
  const TensorView dweights = gradient_buffer(seen.k.rows(), Rows::kAll);
  prefix_attention_backward(stream_, op.shape, behind(dy), behind(x.columns(0, query)), seen.k,
                            seen.v, behind(op.lse), behind(delta), behind(weights),
                            behind(dweights), gradients);
  for (const TensorView& buffer : {dweights, weights, delta}) {
    give_back(buffer, Rows::kAll);
  }
}

void Tape::run_backward(const ActivationOp& op) {
  const bool awaited = is_awaited(op.y);
  if (gradient(op.y).empty()) {
    if (awaited) {
      make_again(op.y);
      finish_weights(op.y);
    }
    return;
  }
  // The gradient takes the memory of its input, which nobody reads again.
  gradient(op.x) = data(op.x);
  activation_backward(stream_, op.rule, gradient(op.y), data(op.x), gradient(op.x),
                      awaited ? data(op.y) : TensorView());
  finish_weights(op.y);
  release_gradient(op.y);
}

}  // namespace finescale
