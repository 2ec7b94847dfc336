// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/decoder.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/head_norm.h"
#include "kernels/reduce.h"
#include "kernels/rope.h"
#include "worker/model/pointwise.h"

namespace finescale {

namespace {

TensorView as_view(std::vector<std::int32_t>& ids) {
  return {ids.data(), DType::kI32, Shape{static_cast<std::int64_t>(ids.size())}};
}

// Candidates [t, B, 2] (logit, token) of all ranks: ranks hold ascending tokens, so the first of
// equal logits is the lowest token.
template <class T>
void take_largest(const TensorView& all, int ranks, std::vector<std::int32_t>& best) {
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

Decoder::Decoder(const Transformer& model, std::int64_t batch_size, std::int64_t positions)
    : model_(&model),
      exchange_(model.tensor_group()),
      batch_size_(batch_size),
      capacity_(positions) {
  const ModelLayout& layout = model.layout();
  const DecoderShape& shape = layout.shape();
  const std::int64_t width = shape.hidden_size;
  const AttentionShape a = layout.attention(0);
  const std::int64_t query = std::int64_t{a.num_heads} * a.head_dim;
  const std::int64_t key = std::int64_t{a.num_kv_heads} * a.head_dim;
  const std::int64_t inner = shape.intermediate_size / exchange_.size();
  std::int64_t widest = 1;
  for (const LayerAdapters& adapters : model.adapters()) {
    for (const LowRank* adapter : {adapters.qkv, adapters.o, adapters.gate_up, adapters.down}) {
      widest = adapter == nullptr ? widest : std::max(widest, adapter->a.value.rows());
    }
  }
  state_ = make(batch_size, width);
  delta_ = make(batch_size, width);
  residual_ = make(batch_size, width);
  branch_ = make(batch_size, width);
  normed_ = make(batch_size, width);
  second_ = make(batch_size, width);
  qkv_ = make(batch_size, query + 2 * key);
  mixed_ = make(batch_size, query);
  gate_up_ = make(batch_size, activation_rule(shape).num_inputs() * inner);
  inner_ = make(batch_size, inner);
  projected_ = make(batch_size, widest);  // x A^T of the widest adapter; cut to what is needed
  if (layout.part().has_head) {
    logits_ = make(batch_size, model.head().value.rows());
  }
  statistics_ = make(batch_size, norm_rule(shape).num_statistics());
  head_rstd_ = make(batch_size, a.num_heads);
  shifted_ = TensorView(make(1, width).data, model.weights().dtype(), Shape{width});
  for (int i = 0; i < layout.num_layers(); ++i) {
    keys_.push_back(make(batch_size * positions, key));
    values_.push_back(make(batch_size * positions, key));
  }
  for (int other = 1; other < exchange_.size(); ++other) {
    received_.push_back(make(exchange_.most_rows(batch_size), width));
  }
  candidates_ = make(batch_size, 2);
  all_candidates_ = make(exchange_.size() * batch_size, 2);
}

TensorView Decoder::make(std::int64_t rows, std::int64_t columns) {
  const DType dtype = model_->weights().dtype();
  memory_.emplace_back(static_cast<std::size_t>(rows * columns) * dtype_size(dtype));
  return {memory_.back().data(), dtype, Shape{rows, columns}};
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
  embedding_forward(stream_, as_view(positions_), model_->positions().value, branch_);
  add_in_place(stream_, branch_, y);
}

void Decoder::linear(const TensorView& x, const Weight& weight, const LowRank* adapter,
                     const TensorView& y, Split split) {
  TensorView projected;
  if (adapter != nullptr) {
    projected =
        TensorView(projected_.data, projected_.dtype, Shape{batch_size_, adapter->a.value.rows()});
  }
  linear_forward(stream_, x, weight.value, adapter, projected, y);
  if (split == Split::kInputs) {
    sum_over_ranks(y);
  }
  if (!weight.bias.empty()) {
    bias_add(stream_, weight.bias, y);
  }
}

void Decoder::norm(const TensorView& x, const TensorView& residual, const Weight& weight,
                   const TensorView& y) {
  norm_forward(stream_, norm_rule(model_->layout().shape()), x, residual, weight, shifted_, y,
               statistics_);
}

void Decoder::attend(int index, const TensorView& normed, const TensorView& y) {
  const auto i = static_cast<std::size_t>(index);
  const LayerWeights& weights = model_->layer(index);
  const LayerAdapters& adapters = model_->adapters()[i];
  const DecoderShape& shape = model_->layout().shape();
  const AttentionShape attention = model_->layout().attention(index);
  const std::int64_t query = std::int64_t{attention.num_heads} * attention.head_dim;
  const std::int64_t key = std::int64_t{attention.num_kv_heads} * attention.head_dim;
  const TensorView q = qkv_.columns(0, query);
  const TensorView k = qkv_.columns(query, query + key);
  linear(normed, weights.qkv, adapters.qkv, qkv_, Split::kOutputs);
  if (shape.qk_norm) {
    const auto scales = [&](int heads) {
      return TensorView(head_rstd_.data, head_rstd_.dtype, Shape{batch_size_, heads});
    };
    head_norm_forward(stream_, q, weights.q_norm.value, shape.norm_eps, q,
                      scales(attention.num_heads));
    head_norm_forward(stream_, k, weights.k_norm.value, shape.norm_eps, k,
                      scales(attention.num_kv_heads));
  }
  if (shape.has_rotation()) {
    rope_apply(stream_, qkv_.columns(0, query + key), attention.head_dim, as_view(positions_),
               model_->rope_cos(), model_->rope_sin(), false);
  }
  for (std::int64_t s = 0; s < batch_size_; ++s) {
    const std::int64_t row = s * capacity_ + positions_[static_cast<std::size_t>(s)];
    const TensorView source = qkv_.row_range(s, s + 1);
    copy(stream_, source.columns(query, query + key), keys_[i].row_range(row, row + 1));
    copy(stream_, source.columns(query + key, query + 2 * key), values_[i].row_range(row, row + 1));
  }
  attention_decode(stream_, attention, q, keys_[i], values_[i], capacity_, lengths_, mixed_);
  linear(mixed_, weights.o, adapters.o, y, Split::kInputs);
}

void Decoder::feed_forward(int index, const TensorView& normed, const TensorView& y) {
  const LayerWeights& weights = model_->layer(index);
  const LayerAdapters& adapters = model_->adapters()[static_cast<std::size_t>(index)];
  linear(normed, weights.gate_up, adapters.gate_up, gate_up_, Split::kOutputs);
  activation_forward(stream_, activation_rule(model_->layout().shape()), gate_up_, inner_);
  linear(inner_, weights.down, adapters.down, y, Split::kInputs);
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

void Decoder::pass(const std::vector<std::int32_t>& tokens,
                   const std::vector<std::int32_t>& positions) {
  tokens_ = tokens;
  positions_ = positions;
  lengths_ = positions;
  for (std::int32_t& length : lengths_) {
    ++length;
  }
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
  gemm(stream_, Transpose::kNo, Transpose::kYes, 1, normed_, model_->head().value, 0, logits_);
  if (!model_->head().bias.empty()) {
    bias_add(stream_, model_->head().bias, logits_);
  }
}

void Decoder::choose(std::vector<std::int32_t>& best) {
  argmax_rows(stream_, logits_, as_view(best));
  if (!exchange_.active()) {
    return;
  }
  const bool f64 = candidates_.dtype == DType::kF64;
  for (std::int64_t s = 0; s < batch_size_; ++s) {
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

}  // namespace finescale
