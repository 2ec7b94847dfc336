// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model_layout.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

constexpr Placement kWhole{};
constexpr Placement kRows{Placement::Kind::kSplit, 0, 0};
constexpr Placement kColumns{Placement::Kind::kSplit, 1, 0};

struct NamedMatrix {
  std::string module;
  Shape shape;
  Placement placement;
};

// Matrices that are one GEMM, then their biases. A bias follows the rows of its matrix: where the
// inputs are cut, every rank holds all of it.
StackIndex declare_stack(ParameterSet& weights, std::initializer_list<NamedMatrix> matrices,
                         bool bias) {
  StackIndex stack;
  for (const NamedMatrix& matrix : matrices) {
    stack.last = weights.declare(matrix.module + ".weight", matrix.shape, matrix.placement);
    stack.first = stack.first < 0 ? stack.last : stack.first;
  }
  for (const NamedMatrix& matrix : matrices) {
    if (bias) {
      const bool cut =
          matrix.placement.kind == Placement::Kind::kSplit && matrix.placement.dim == 0;
      stack.bias_last = weights.declare(matrix.module + ".bias", {matrix.shape[0]},
                                        cut ? matrix.placement : kWhole);
      stack.bias_first = stack.bias_first < 0 ? stack.bias_last : stack.bias_first;
    }
  }
  return stack;
}

}  // namespace

ModelLayout::ModelLayout(DecoderShape shape, const ModelPart& part)
    : shape_(std::move(shape)), part_(part) {
  if (part_.num_layers < 0) {
    part_.num_layers = shape_.num_layers - part_.first_layer;
  }
  const int ranks = part_.tensor_size;
  FS_CHECK(shape_.num_heads % ranks == 0 &&
               (shape_.num_kv_heads % ranks == 0 || ranks % shape_.num_kv_heads == 0),
           "heads do not divide by the tensor axis");
}

AttentionShape ModelLayout::attention(int index) const noexcept {
  return {.num_heads = shape_.num_heads / part_.tensor_size,
          .num_kv_heads = std::max(1, shape_.num_kv_heads / part_.tensor_size),
          .head_dim = shape_.head_dim,
          .scale = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim)),
          .window = shape_.window_of_layer(part_.first_layer + index)};
}

std::int64_t ModelLayout::num_layer_parameters() const noexcept {
  const std::int64_t width = shape_.hidden_size;
  const std::int64_t inner = shape_.intermediate_size;
  return shape_.num_layers *
         (width * 2 * (shape_.query() + shape_.key()) + (shape_.gated ? 3 : 2) * width * inner);
}

void ModelLayout::declare_layer(int index, ParameterSet& weights) {
  const DecoderShape& s = shape_;
  const std::int64_t width = s.hidden_size;
  const std::int64_t inner = s.intermediate_size;
  const Placement kv{Placement::Kind::kSplit, 0, std::min(s.num_kv_heads, part_.tensor_size)};
  const std::string prefix = "model.layers." + std::to_string(part_.first_layer + index) + ".";
  const std::string attention = prefix + "self_attn.";
  const std::string mlp = prefix + "mlp.";
  const bool norm_bias = s.norm == DecoderShape::Norm::kLayer;
  const auto norm = [&](const std::string& module, std::int64_t size, bool bias) {
    return declare_stack(weights, {{module, {size}, kWhole}}, bias);
  };
  weights.begin_unit();
  LayerIndex layer;
  layer.input_norm = norm(prefix + "input_layernorm", width, norm_bias);
  layer.qkv = declare_stack(weights,
                            {{attention + "q_proj", {s.query(), width}, kRows},
                             {attention + "k_proj", {s.key(), width}, kv},
                             {attention + "v_proj", {s.key(), width}, kv}},
                            s.qkv_bias);
  layer.q = layer.qkv.first;
  layer.k = layer.q + 1;
  layer.v = layer.q + 2;
  if (s.qk_norm) {
    layer.q_norm = norm(attention + "q_norm", s.head_dim, false);
    layer.k_norm = norm(attention + "k_norm", s.head_dim, false);
  }
  layer.o =
      declare_stack(weights, {{attention + "o_proj", {width, s.query()}, kColumns}}, s.o_bias);
  if (!s.shared_norm) {
    layer.post_norm = norm(prefix + "post_attention_layernorm", width, norm_bias);
  }
  const NamedMatrix up{mlp + "up_proj", {inner, width}, kRows};
  layer.gate_up =
      s.gated ? declare_stack(weights, {{mlp + "gate_proj", {inner, width}, kRows}, up}, s.mlp_bias)
              : declare_stack(weights, {up}, s.mlp_bias);
  layer.gate = s.gated ? layer.gate_up.first : -1;
  layer.up = layer.gate_up.last;
  layer.down = declare_stack(weights, {{mlp + "down_proj", {width, inner}, kColumns}}, s.mlp_bias);
  layers_.push_back(layer);
}

void ModelLayout::declare(ParameterSet& weights) {
  FS_CHECK(weights.tensor_rank() == part_.tensor_rank && weights.tensor_size() == part_.tensor_size,
           "the weights are cut for another rank");
  const std::int64_t width = shape_.hidden_size;
  const NamedMatrix table{"model.embed_tokens", {shape_.vocab_size, width}, kRows};
  if (part_.has_embedding) {
    weights.begin_unit();
    embedding_ = declare_stack(weights, {table}, false);
  }
  if (has_positions()) {
    weights.begin_unit();
    positions_ = declare_stack(
        weights, {{"model.embed_positions", {shape_.max_positions, width}, kWhole}}, false);
  }
  layers_.clear();
  for (int index = 0; index < part_.num_layers; ++index) {
    declare_layer(index, weights);
  }
  if (!part_.has_head) {
    return;
  }
  weights.begin_unit();
  final_norm_ = declare_stack(weights, {{"model.norm", {width}, kWhole}},
                              shape_.norm == DecoderShape::Norm::kLayer);
  if (!shape_.tied) {
    head_ = declare_stack(weights, {{"lm_head", table.shape, kRows}}, shape_.head_bias);
  } else if (part_.has_embedding) {
    head_ = embedding_;
  } else {
    weights.begin_unit();
    head_ = declare_stack(weights, {table}, false);
  }
}

}  // namespace finescale
