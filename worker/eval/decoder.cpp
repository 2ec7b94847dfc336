// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "kernels/bias.h"
#include "kernels/cached_attention.h"
#include "kernels/embedding.h"
#include "kernels/head_norm.h"
#include "kernels/reduce.h"
#include "kernels/rope.h"
#include "kernels/row_gemm.h"
#include "worker/model/pointwise.h"

namespace finescale {

namespace {

TensorView as_view(std::span<const std::int32_t> ids) {  // read only
  return {const_cast<std::int32_t*>(ids.data()), DType::kI32,
          Shape{static_cast<std::int64_t>(ids.size())}};
}

// The first `rows` rows of a buffer.
void cut(TensorView& view, std::int64_t rows) {
  view.shape = view.shape.rank == 1 ? Shape{rows} : Shape{rows, view.cols()};
}

// Candidates [t, B, 2] (logit, token) of all ranks: ranks hold ascending tokens, so the first of
// equal logits is the lowest token.
template <class T>
void take_largest(const TensorView& all, int ranks, std::span<std::int32_t> best) {
  const auto count = static_cast<std::int64_t>(best.size());
  for (std::int64_t s = 0; s < count; ++s) {
    const T* chosen = all.as<T>() + 2 * s;
    for (int rank = 1; rank < ranks; ++rank) {
      const T* other = all.as<T>() + 2 * (rank * count + s);
      chosen = other[0] > chosen[0] ? other : chosen;
    }
    best[static_cast<std::size_t>(s)] = static_cast<std::int32_t>(chosen[1]);
  }
}

}  // namespace

void DecoderBatch::clear() {
  tokens.clear();
  positions.clear();
  sequences.clear();
  outputs.clear();
}

void DecoderBatch::add(std::int32_t token, std::int32_t position, std::int32_t sequence) {
  tokens.push_back(token);
  positions.push_back(position);
  sequences.push_back(sequence);
}

Decoder::Decoder(const Transformer& model, const DecoderLimits& limits)
    : model_(&model),
      exchange_(model.tensor_group(), model.stream()),
      cache_(model.layout().attention(0), model.layout().num_layers(), model.weights().dtype(),
             limits.sequences, limits.positions) {
  if (model.stream().on_gpu()) {
    throw Error(ErrorKind::kDevice, "text is generated on the CPU only", {},
                "use resources.device: cpu for a sweep that generates or scores answers");
  }
  FS_CHECK(model.layout().num_layers() == 0 || model.layer(0).qkv.rounded.empty(),
           "text is generated in f32");
  make_buffers(limits);
}

void Decoder::make_buffers(const DecoderLimits& limits) {
  const ModelLayout& layout = model_->layout();
  const DecoderShape& shape = layout.shape();
  const std::int64_t width = shape.hidden_size;
  const AttentionShape a = layout.attention(0);
  const std::int64_t query = std::int64_t{a.num_heads} * a.head_dim;
  const std::int64_t key = std::int64_t{a.num_kv_heads} * a.head_dim;
  const std::int64_t inner = shape.intermediate_size / exchange_.size();
  std::int64_t widest = 1;
  std::int64_t made = 0;
  std::int64_t branch = 0;
  bool has_factors = false;
  for (const LayerAdapters& adapters : model_->adapters()) {
    for (const LowRank* adapter : {adapters.qkv, adapters.o, adapters.gate_up, adapters.down}) {
      if (adapter != nullptr && !adapter->parts.empty()) {
        widest = std::max(widest, adapter->a.value.rows());
        made = std::max(made, adapter->made_elements());
      }
      has_factors = has_factors || (adapter != nullptr && !adapter->inputs.empty());
    }
    for (const BranchNetwork* network : {adapters.behind_attention, adapters.behind_mlp}) {
      branch = std::max(branch, network == nullptr ? 0 : network->down.value.rows());
    }
  }
  state_ = make(limits.rows, width);
  delta_ = make(limits.rows, width);
  residual_ = make(limits.rows, width);
  branch_ = make(limits.rows, width);
  normed_ = make(limits.rows, width);
  second_ = make(limits.rows, width);
  qkv_ = make(limits.rows, query + 2 * key);
  mixed_ = make(limits.rows, query);
  gate_up_ = make(limits.rows, activation_rule(shape).num_inputs() * inner);
  inner_ = make(limits.rows, inner);
  projected_ = make(limits.rows, widest);  // x A^T of the widest adapter; cut to what is needed
  if (branch > 0) {
    branch_inner_ = make(limits.rows, branch);
    branch_active_ = make(limits.rows, branch);
    branch_out_ = make(limits.rows, width);
  }
  if (made > 0) {
    made_ = make(1, made);
  }
  if (has_factors) {
    multiplied_ = make(limits.rows, std::max({width, query, inner}));
  }
  statistics_ = make(limits.rows, norm_rule(shape).num_statistics());
  head_rstd_ = make(limits.rows, a.num_heads);
  shifted_ = TensorView(make(1, width).data, model_->weights().dtype(), Shape{width});
  for (int other = 1; other < exchange_.size(); ++other) {
    received_.push_back(make(exchange_.most_rows(limits.rows), width));
  }
  tokens_.reserve(static_cast<std::size_t>(limits.rows));
  places_.reserve(static_cast<std::size_t>(limits.rows));
  if (!layout.part().has_head) {
    return;
  }
  const std::int64_t vocabulary = model_->head().value.rows();
  chosen_ = make(limits.outputs, width);
  logits_ = make(limits.outputs, vocabulary);
  if (exchange_.active()) {
    candidates_ = make(limits.outputs, 2);
    all_candidates_ = make(exchange_.size() * limits.outputs, 2);
    all_logits_ = make(exchange_.size() * limits.outputs, vocabulary);
    whole_logits_ = make(limits.outputs, exchange_.size() * vocabulary);
  }
}

TensorView Decoder::make(std::int64_t rows, std::int64_t columns) {
  const DType dtype = model_->weights().dtype();
  memory_.emplace_back(static_cast<std::size_t>(rows * columns) * dtype_size(dtype));
  return {memory_.back().data(), dtype, Shape{rows, columns}};
}

void Decoder::begin(const DecoderBatch& batch) {
  batch_ = &batch;
  const auto rows = static_cast<std::int64_t>(batch.tokens.size());
  const auto outputs = static_cast<std::int64_t>(batch.outputs.size());
  for (TensorView* view : {&state_, &delta_, &residual_, &branch_, &normed_, &second_, &qkv_,
                           &mixed_, &gate_up_, &inner_, &projected_, &statistics_}) {
    cut(*view, rows);
  }
  if (model_->layout().part().has_head) {
    cut(chosen_, outputs);
    cut(logits_, outputs);
  }
  tokens_ = batch.tokens;
  places_.clear();
  for (std::size_t r = 0; r < batch.tokens.size(); ++r) {
    cache_.reserve(batch.sequences[r], batch.positions[r] + 1);
    places_.push_back({cache_.pages(batch.sequences[r]), batch.positions[r]});
  }
}

void Decoder::sum_over_ranks(const TensorView& y) {
  if (exchange_.active()) {
    exchange_.reduce_scatter(y, received_, exchange_.own(y));
    exchange_.all_gather(y);
  }
}

void Decoder::embed(const TensorView& y) {
  const Weight& table = model_->embedding();
  if (exchange_.active()) {
    for (std::int32_t& token : tokens_) {
      const std::int64_t row = token - model_->first_token();
      token = row >= 0 && row < table.value.rows() ? static_cast<std::int32_t>(row) : kNoRow;
    }
  }
  embedding_forward(stream_, as_view(tokens_), table.value, y);
  sum_over_ranks(y);
  if (model_->layout().shape().embedding_scale != 1) {
    affine_in_place(stream_, model_->layout().shape().embedding_scale, 0, y);
  }
}

void Decoder::add_positions(const TensorView& y) {
  embedding_forward(stream_, as_view(batch_->positions), model_->positions().value, branch_);
  add_in_place(stream_, branch_, y);
}

void Decoder::linear(const TensorView& x, const Weight& weight, const LowRank* adapter,
                     const TensorView& y, Split split) {
  TensorView input = x;
  TensorView projected;
  if (adapter != nullptr && !adapter->parts.empty()) {
    projected =
        TensorView(projected_.data, projected_.dtype, Shape{x.rows(), adapter->a.value.rows()});
  }
  if (adapter != nullptr && !adapter->inputs.empty()) {
    input = TensorView(multiplied_.data, multiplied_.dtype, Shape{x.rows(), x.cols()});
    multiply_columns(stream_, adapter->inputs, x, input);
  }
  if (adapter != nullptr && adapter->is_scaled()) {
    const LowRank of_pass = with_made_parts(stream_, *adapter, made_);
    linear_forward_by_rows(stream_, input, weight, &of_pass, projected, y);
  } else {
    linear_forward_by_rows(stream_, input, weight, adapter, projected, y);
  }
  if (split == Split::kInputs) {
    sum_over_ranks(y);
  }
  const bool has_outputs = adapter != nullptr && !adapter->outputs.empty();
  const bool scales_bias = has_outputs && adapter->scales_bias;
  if (!weight.bias.empty() && scales_bias) {
    bias_add(stream_, weight.bias, y);
  }
  if (has_outputs) {
    multiply_columns(stream_, adapter->outputs, y, y);
  }
  if (!weight.bias.empty() && !scales_bias) {
    bias_add(stream_, weight.bias, y);
  }
}

void Decoder::add_branch(const BranchNetwork* network, const TensorView& y) {
  if (network == nullptr) {
    return;
  }
  for (TensorView* view : {&branch_inner_, &branch_active_, &branch_out_}) {
    cut(*view, y.rows());
  }
  row_gemm(stream_, 1, y, network->down.value, 0, branch_inner_);
  activation_forward(stream_, kBranchActivation, branch_inner_, branch_active_);
  row_gemm(stream_, 1, branch_active_, network->up.value, 0, branch_out_);
  add_in_place(stream_, branch_out_, y);
}

void Decoder::norm(const TensorView& x, const TensorView& residual, const Weight& weight,
                   const TensorView& y) {
  norm_forward(stream_, norm_rule(model_->layout().shape()), x, residual, weight, shifted_, y,
               statistics_);
}

// Keeps the new keys and values.
void Decoder::attend(int index, const TensorView& normed, const TensorView& y) {
  const LayerWeights& weights = model_->layer(index);
  const LayerAdapters& adapters = model_->adapters()[static_cast<std::size_t>(index)];
  const DecoderShape& shape = model_->layout().shape();
  const AttentionShape attention = model_->layout().attention(index);
  const std::int64_t query = std::int64_t{attention.num_heads} * attention.head_dim;
  const std::int64_t key = std::int64_t{attention.num_kv_heads} * attention.head_dim;
  const TensorView q = qkv_.columns(0, query);
  const TensorView k = qkv_.columns(query, query + key);
  linear(normed, weights.qkv, adapters.qkv, qkv_, Split::kOutputs);
  if (shape.qk_norm) {
    const auto scales = [&](int heads) {
      return TensorView(head_rstd_.data, head_rstd_.dtype, Shape{qkv_.rows(), heads});
    };
    head_norm_forward(stream_, q, weights.q_norm.value, shape.norm_eps, q,
                      scales(attention.num_heads));
    head_norm_forward(stream_, k, weights.k_norm.value, shape.norm_eps, k,
                      scales(attention.num_kv_heads));
  }
  if (shape.has_rotation()) {
    rope_apply(stream_, qkv_.columns(0, query + key), attention.head_dim,
               as_view(batch_->positions), model_->rope_cos(), model_->rope_sin(), false);
  }
  cache_store(stream_, attention, k, qkv_.columns(query + key, query + 2 * key), places_,
              cache_.offset(index));
  cached_attention(stream_, attention, q, places_, cache_.offset(index), mixed_);
  linear(mixed_, weights.o, adapters.o, y, Split::kInputs);
  add_branch(adapters.behind_attention, y);
}

void Decoder::feed_forward(int index, const TensorView& normed, const TensorView& y) {
  const LayerWeights& weights = model_->layer(index);
  const LayerAdapters& adapters = model_->adapters()[static_cast<std::size_t>(index)];
  linear(normed, weights.gate_up, adapters.gate_up, gate_up_, Split::kOutputs);
  activation_forward(stream_, activation_rule(model_->layout().shape()), gate_up_, inner_);
  linear(inner_, weights.down, adapters.down, y, Split::kInputs);
  add_branch(adapters.behind_mlp, y);
}

void Decoder::layer(int index, TensorView& delta, TensorView& residual) {
  const LayerWeights& weights = model_->layer(index);
  const DecoderShape& shape = model_->layout().shape();
  norm(delta, index == 0 ? TensorView() : residual, weights.input_norm, normed_);
  std::swap(delta, residual);  // the sum is the new residual stream
  if (shape.parallel_residual) {
    if (!shape.shared_norm) {
      norm(residual, TensorView(), weights.post_norm, second_);
    }
    attend(index, normed_, delta);
    feed_forward(index, shape.shared_norm ? normed_ : second_, branch_);
    add_in_place(stream_, branch_, delta);
    return;
  }
  attend(index, normed_, delta);
  norm(delta, residual, weights.post_norm, normed_);
  std::swap(delta, residual);
  feed_forward(index, normed_, delta);
}

void Decoder::pass() {
  const ModelLayout& layout = model_->layout();
  TensorView delta = delta_;
  TensorView residual = residual_;
  const auto with_unit = [&](int unit, const auto& body) {
    const UnitHooks& hooks = model_->hooks();
    if (hooks.enter) {
      hooks.enter(unit, false);
    }
    body();
    if (hooks.leave) {
      hooks.leave(unit, false);
    }
  };
  if (layout.part().has_embedding) {
    with_unit(0, [&] { embed(delta); });
    if (layout.has_positions()) {
      with_unit(layout.positions_unit(), [&] { add_positions(delta); });
    }
  } else {
    copy(stream_, state_, delta);
  }
  for (int i = 0; i < layout.num_layers(); ++i) {
    with_unit(layout.layer_unit(i), [&] { layer(i, delta, residual); });
  }
  if (!layout.part().has_head) {
    copy(stream_, delta, state_);
    add_in_place(stream_, residual, state_);
    return;
  }
  const bool own_unit = model_->head_unit() == layout.final_unit();
  with_unit(layout.final_unit(), [&] {
    norm(delta, residual, model_->final_norm(), normed_);
    if (own_unit) {
      make_logits();
    }
  });
  if (!own_unit) {
    with_unit(model_->head_unit(), [&] { make_logits(); });
  }
}

void Decoder::make_logits() {
  const std::size_t row_bytes =
      static_cast<std::size_t>(chosen_.cols()) * dtype_size(chosen_.dtype);
  for (std::size_t s = 0; s < batch_->outputs.size(); ++s) {
    const TensorView from = normed_.row_range(batch_->outputs[s], batch_->outputs[s] + 1);
    std::memcpy(static_cast<std::byte*>(chosen_.data) + s * row_bytes, from.data, row_bytes);
  }
  row_gemm(stream_, 1, chosen_, model_->head().value, 0, logits_);
  if (!model_->head().bias.empty()) {
    bias_add(stream_, model_->head().bias, logits_);
  }
}

void Decoder::choose(std::span<std::int32_t> best) {
  argmax_rows(stream_, logits_, as_view(best));
  if (!exchange_.active() || best.empty()) {
    return;
  }
  const bool f64 = candidates_.dtype == DType::kF64;
  const auto count = static_cast<std::int64_t>(best.size());
  cut(candidates_, count);
  cut(all_candidates_, exchange_.size() * count);
  for (std::int64_t s = 0; s < count; ++s) {
    const std::int32_t index = best[static_cast<std::size_t>(s)];
    const std::int64_t at = s * logits_.row_stride + index;
    const auto token = index + model_->first_token();  // exact below 2^24, also in f32
    if (f64) {
      candidates_.as<double>()[2 * s] = logits_.as<double>()[at];
      candidates_.as<double>()[2 * s + 1] = static_cast<double>(token);
    } else {
      candidates_.as<float>()[2 * s] = logits_.as<float>()[at];
      candidates_.as<float>()[2 * s + 1] = static_cast<float>(token);
    }
  }
  exchange_.all_gather_parts(candidates_, all_candidates_);
  f64 ? take_largest<double>(all_candidates_, exchange_.size(), best)
      : take_largest<float>(all_candidates_, exchange_.size(), best);
}

TensorView Decoder::logits() {
  if (!exchange_.active()) {
    return logits_;
  }
  const std::int64_t count = logits_.rows();
  cut(all_logits_, exchange_.size() * count);
  cut(whole_logits_, count);
  exchange_.all_gather_parts(logits_, all_logits_);
  for (int rank = 0; rank < exchange_.size(); ++rank) {
    copy(stream_, all_logits_.row_range(rank * count, (rank + 1) * count),
         whole_logits_.columns(rank * logits_.cols(), (rank + 1) * logits_.cols()));
  }
  return whole_logits_;
}

}  // namespace finescale
