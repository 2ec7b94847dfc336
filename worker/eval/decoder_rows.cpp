// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/decoder_rows.h"

#include <cstring>
#include <utility>

#include "kernels/bias.h"
#include "kernels/embedding.h"
#include "kernels/factors.h"
#include "kernels/head_norm.h"
#include "kernels/reduce.h"
#include "kernels/rope.h"
#include "kernels/row_gemm.h"
#include "worker/model/pointwise.h"

namespace finescale {

namespace {

// A dense matrix at the begin of a scratch matrix that is at least as wide.
TensorView dense(const TensorView& scratch, std::int64_t rows, std::int64_t columns) {
  return {scratch.data, scratch.dtype, Shape{rows, columns}};
}

void move_outputs(const DecoderRows& rows) {
  const auto count = static_cast<std::int64_t>(rows.outputs.size());
  for (const TensorView* view : {&rows.qkv, &rows.residual, &rows.normed, &rows.second}) {
    const std::size_t bytes = static_cast<std::size_t>(view->cols()) * dtype_size(view->dtype);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t from = rows.outputs[static_cast<std::size_t>(i)] - rows.first;
      if (from != i) {
        std::memcpy(view->row_range(i, i + 1).data, view->row_range(from, from + 1).data, bytes);
      }
    }
  }
}

// All rows move at once, so they go into memory that is not in use: `delta` takes turns with each
// matrix, the queries come back from where the output of attention will be.
void gather_outputs(const Stream& stream, DecoderRows& rows, std::int64_t query) {
  const auto count = static_cast<std::int64_t>(rows.outputs.size());
  if (count == 0) {
    return;
  }
  for (TensorView* view : {&rows.residual, &rows.normed, &rows.second}) {
    embedding_forward(stream, rows.device_outputs, *view, rows.delta.row_range(0, count));
    std::swap(*view, rows.delta);
  }
  const TensorView queries = rows.qkv.columns(0, query);
  embedding_forward(stream, rows.device_outputs, queries, rows.mixed.row_range(0, count));
  copy(stream, rows.mixed.row_range(0, count), queries.row_range(0, count));
}

// After the last keys and values only rows with an output go on: they move to the front. query:
// columns of the queries.
void keep_outputs(const Stream& stream, DecoderRows& rows, std::int64_t query) {
  const auto count = static_cast<std::int64_t>(rows.outputs.size());
  if (count == rows.delta.rows()) {
    return;
  }
  if (stream.on_gpu()) {
    gather_outputs(stream, rows, query);
  } else {
    move_outputs(rows);
  }
  rows.for_each([count](TensorView& view) {
    if (!view.empty()) {
      view = view.row_range(0, count);
    }
  });
  rows.places = rows.output_places;
  rows.device_places = rows.device_output_places;
}

}  // namespace

void DecoderLayers::sum_over_ranks(const TensorView& y) const {
  if (exchange_->active()) {
    exchange_->reduce_scatter(y, received_, exchange_->own(y));
    exchange_->all_gather(y);
  }
}

void DecoderLayers::embed(const Stream& stream, const DecoderRows& rows) const {
  embedding_forward(stream, rows.tokens, model_->embedding().factor(), rows.delta);
  sum_over_ranks(rows.delta);
  if (!rows.prompt.empty()) {
    copy(stream, rows.prompt, rows.delta);
  }
  if (model_->layout().shape().embedding_scale != 1) {
    affine_in_place(stream, model_->layout().shape().embedding_scale, 0, rows.delta);
  }
}

void DecoderLayers::add_scaled(const Stream& stream, const DecoderRows& rows, const TensorView& x,
                               const LowRank& adapter, const TensorView& y) const {
  const TensorView projected = dense(rows.projected, x.rows(), adapter.a.value.rows());
  row_gemm(stream, 1, x, adapter.a.value, 0, projected);
  std::int64_t begin = 0;
  for (const LowRankPart& part : adapter.parts) {
    const TensorView down = dense(rows.scaled_down, x.rows(), adapter.rank);
    const TensorView up = dense(rows.scaled_up, x.rows(), part.row_end - part.row_begin);
    scale_columns(stream, projected.columns(begin, begin + adapter.rank), part.scaled.columns.value,
                  {}, down);
    row_gemm(stream, adapter.scale, down, part.scaled.matrix, 0, up);
    add_scaled_columns(stream, up, part.scaled.rows.value, y.columns(part.row_begin, part.row_end));
    begin += adapter.shares_a ? 0 : adapter.rank;
  }
}

void DecoderLayers::linear(const Stream& stream, const DecoderRows& rows, const TensorView& x,
                           const Weight& weight, const LowRank* adapter, const TensorView& y,
                           Split split) const {
  TensorView input = x;
  const bool is_scaled = adapter != nullptr && adapter->is_scaled();
  if (adapter != nullptr && !adapter->inputs.empty()) {
    input = dense(rows.multiplied, x.rows(), x.cols());
    multiply_columns(stream, adapter->inputs, x, input);
  }
  TensorView projected;
  if (adapter != nullptr && !adapter->parts.empty()) {
    projected = dense(rows.projected, x.rows(), adapter->a.value.rows());
  }
  linear_forward_by_rows(stream, input, weight, is_scaled ? nullptr : adapter, projected, y);
  if (is_scaled) {
    add_scaled(stream, rows, input, *adapter, y);
  }
  if (split == Split::kInputs) {
    sum_over_ranks(y);
  }
  const bool has_outputs = adapter != nullptr && !adapter->outputs.empty();
  const bool scales_bias = has_outputs && adapter->scales_bias;
  if (!weight.bias.empty() && scales_bias) {
    bias_add(stream, weight.bias, y);
  }
  if (has_outputs) {
    multiply_columns(stream, adapter->outputs, y, y);
  }
  if (!weight.bias.empty() && !scales_bias) {
    bias_add(stream, weight.bias, y);
  }
}

void DecoderLayers::add_branch(const Stream& stream, const DecoderRows& rows,
                               const BranchNetwork* network, const TensorView& y) const {
  if (network == nullptr) {
    return;
  }
  row_gemm(stream, 1, y, network->down.value, 0, rows.branch_inner);
  activation_forward(stream, kBranchActivation, rows.branch_inner, rows.branch_active);
  row_gemm(stream, 1, rows.branch_active, network->up.value, 0, rows.branch_out);
  add_in_place(stream, rows.branch_out, y);
}

void DecoderLayers::norm(const Stream& stream, const DecoderRows& rows, const TensorView& x,
                         const TensorView& residual, const Weight& weight,
                         const TensorView& y) const {
  norm_forward(stream, norm_rule(model_->layout().shape()), x, residual, weight, rows.shifted, y,
               rows.statistics);
}

// delta = attention of normed; keeps the new keys and values.
void DecoderLayers::attend(const Stream& stream, int index, DecoderRows& rows) const {
  const LayerWeights& weights = model_->layer(index);
  const LayerAdapters& adapters = model_->adapters()[static_cast<std::size_t>(index)];
  const DecoderShape& shape = model_->layout().shape();
  const AttentionShape attention = model_->layout().attention(index);
  const std::int64_t query = std::int64_t{attention.num_heads} * attention.head_dim;
  const std::int64_t key = std::int64_t{attention.num_kv_heads} * attention.head_dim;
  linear(stream, rows, rows.normed, weights.qkv, adapters.qkv, rows.qkv, Split::kOutputs);
  const TensorView k = rows.qkv.columns(query, query + key);
  if (shape.qk_norm) {
    const auto normalise = [&](const TensorView& heads, const Weight& weight, int count) {
      head_norm_forward(stream, heads, weight.value, shape.norm_eps, heads,
                        dense(rows.head_rstd, heads.rows(), count));
    };
    normalise(rows.qkv.columns(0, query), weights.q_norm, attention.num_heads);
    normalise(k, weights.k_norm, attention.num_kv_heads);
  }
  if (shape.has_rotation()) {
    rope_apply(stream, rows.qkv.columns(0, query + key), attention.head_dim, rows.positions,
               model_->rope_cos(), model_->rope_sin(), false);
  }
  cache_store(stream, attention, k, rows.qkv.columns(query + key, query + 2 * key), rows.places,
              cache_->offset(index), rows.device_places);
  if (index + 1 == model_->layout().num_layers() && model_->layout().part().has_head) {
    keep_outputs(stream, rows, query);
  }
  if (rows.places.empty()) {
    return;
  }
  cached_attention(stream, attention, rows.qkv.columns(0, query), rows.places,
                   cache_->offset(index), rows.mixed, rows.device_places);
  linear(stream, rows, rows.mixed, weights.o, adapters.o, rows.delta, Split::kInputs);
  add_branch(stream, rows, adapters.behind_attention, rows.delta);
}

void DecoderLayers::feed_forward(const Stream& stream, int index, const DecoderRows& rows,
                                 const TensorView& normed, const TensorView& y) const {
  const LayerWeights& weights = model_->layer(index);
  const LayerAdapters& adapters = model_->adapters()[static_cast<std::size_t>(index)];
  linear(stream, rows, normed, weights.gate_up, adapters.gate_up, rows.gate_up, Split::kOutputs);
  activation_forward(stream, activation_rule(model_->layout().shape()), rows.gate_up, rows.inner);
  linear(stream, rows, rows.inner, weights.down, adapters.down, y, Split::kInputs);
  add_branch(stream, rows, adapters.behind_mlp, y);
}

void DecoderLayers::layer(const Stream& stream, int index, DecoderRows& rows) const {
  const LayerWeights& weights = model_->layer(index);
  const DecoderShape& shape = model_->layout().shape();
  norm(stream, rows, rows.delta, index == 0 ? TensorView() : rows.residual, weights.input_norm,
       rows.normed);
  std::swap(rows.delta, rows.residual);  // the sum is the new residual stream
  const bool shares_norm = !shape.parallel_residual || shape.shared_norm;
  if (!shares_norm) {
    norm(stream, rows, rows.residual, TensorView(), weights.post_norm, rows.second);
  }
  attend(stream, index, rows);
  if (rows.places.empty()) {
    return;
  }
  if (shape.parallel_residual) {
    feed_forward(stream, index, rows, shares_norm ? rows.normed : rows.second, rows.branch);
    add_in_place(stream, rows.branch, rows.delta);
    return;
  }
  norm(stream, rows, rows.delta, rows.residual, weights.post_norm, rows.normed);
  std::swap(rows.delta, rows.residual);
  feed_forward(stream, index, rows, rows.normed, rows.delta);
}

void DecoderLayers::run(const Stream& stream, DecoderRows& rows) const {
  const ModelLayout& layout = model_->layout();
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
    with_unit(0, [&] { embed(stream, rows); });
    if (layout.has_positions()) {
      with_unit(layout.positions_unit(), [&] {
        embedding_forward(stream, rows.positions, model_->positions().value, rows.branch);
        add_in_place(stream, rows.branch, rows.delta);
      });
    }
  } else {
    copy(stream, rows.state, rows.delta);
  }
  for (int i = 0; i < layout.num_layers(); ++i) {
    with_unit(layout.layer_unit(i), [&] { layer(stream, i, rows); });
  }
  if (!layout.part().has_head) {
    copy(stream, rows.delta, rows.state);
    add_in_place(stream, rows.residual, rows.state);
    return;
  }
  const bool own_unit = model_->head_unit() == layout.final_unit();
  with_unit(layout.final_unit(), [&] {
    if (!rows.outputs.empty()) {
      norm(stream, rows, rows.delta, rows.residual, model_->final_norm(), rows.normed);
    }
    if (own_unit) {
      make_logits(stream, rows);
    }
  });
  if (!own_unit) {
    with_unit(model_->head_unit(), [&] { make_logits(stream, rows); });
  }
}

void DecoderLayers::make_logits(const Stream& stream, const DecoderRows& rows) const {
  if (rows.outputs.empty()) {
    return;
  }
  row_gemm(stream, 1, rows.normed, model_->head().factor(), 0, rows.logits);
  if (!model_->head().bias.empty()) {
    bias_add(stream, model_->head().bias, rows.logits);
  }
}

}  // namespace finescale
