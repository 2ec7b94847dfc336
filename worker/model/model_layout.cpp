// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model_layout.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"

namespace finescale {

namespace {

constexpr Placement kRows{Placement::Kind::kSplit, 0, 0};
constexpr Placement kColumns{Placement::Kind::kSplit, 1, 0};

}  // namespace

ModelLayout::ModelLayout(const config::Llama& config, const ModelPart& part)
    : config_(config), part_(part) {
  if (config_.num_kv_heads() == 0) {
    config_.set_num_kv_heads(config_.num_heads());
  }
  if (config_.head_dim() == 0) {
    config_.set_head_dim(config_.hidden_size() / config_.num_heads());
  }
  if (part_.num_layers < 0) {
    part_.num_layers = config_.num_layers() - part_.first_layer;
  }
  const int ranks = part_.tensor_size;
  FS_CHECK(config_.num_heads() % ranks == 0 &&
               (config_.num_kv_heads() % ranks == 0 || ranks % config_.num_kv_heads() == 0),
           "heads do not divide by the tensor axis");
  attention_ = {.num_heads = config_.num_heads() / ranks,
                .num_kv_heads = std::max(1, config_.num_kv_heads() / ranks),
                .head_dim = config_.head_dim(),
                .scale = 1.0 / std::sqrt(static_cast<double>(config_.head_dim()))};
  const std::int64_t width = config_.hidden_size();
  const std::int64_t heads = config_.num_heads() + config_.num_kv_heads();
  num_layer_parameters_ =
      config_.num_layers() * (width * 2 * heads * config_.head_dim() +
                              3 * width * std::int64_t{config_.intermediate_size()});
}

void ModelLayout::declare_layer(int index, ParameterSet& weights) {
  const std::int64_t width = config_.hidden_size();
  const std::int64_t query = std::int64_t{config_.num_heads()} * config_.head_dim();
  const std::int64_t key = std::int64_t{config_.num_kv_heads()} * config_.head_dim();
  const std::int64_t inner = config_.intermediate_size();
  const Placement kv{Placement::Kind::kSplit, 0,
                     std::min(config_.num_kv_heads(), part_.tensor_size)};
  const std::string prefix = "model.layers." + std::to_string(part_.first_layer + index) + ".";
  weights.begin_unit();
  LayerIndex layer;
  layer.input_norm = weights.declare(prefix + "input_layernorm.weight", {width});
  layer.q = weights.declare(prefix + "self_attn.q_proj.weight", {query, width}, kRows);
  layer.k = weights.declare(prefix + "self_attn.k_proj.weight", {key, width}, kv);
  layer.v = weights.declare(prefix + "self_attn.v_proj.weight", {key, width}, kv);
  layer.o = weights.declare(prefix + "self_attn.o_proj.weight", {width, query}, kColumns);
  layer.post_norm = weights.declare(prefix + "post_attention_layernorm.weight", {width});
  layer.gate = weights.declare(prefix + "mlp.gate_proj.weight", {inner, width}, kRows);
  layer.up = weights.declare(prefix + "mlp.up_proj.weight", {inner, width}, kRows);
  layer.down = weights.declare(prefix + "mlp.down_proj.weight", {width, inner}, kColumns);
  layers_.push_back(layer);
}

void ModelLayout::declare(ParameterSet& weights) {
  FS_CHECK(weights.tensor_rank() == part_.tensor_rank && weights.tensor_size() == part_.tensor_size,
           "the weights are cut for another rank");
  const Shape table{config_.vocab_size(), config_.hidden_size()};
  if (part_.has_embedding) {
    weights.begin_unit();
    embedding_ = weights.declare("model.embed_tokens.weight", table, kRows);
  }
  layers_.clear();
  for (int index = 0; index < part_.num_layers; ++index) {
    declare_layer(index, weights);
  }
  if (!part_.has_head) {
    return;
  }
  weights.begin_unit();
  final_norm_ = weights.declare("model.norm.weight", {config_.hidden_size()});
  if (!config_.tie_embeddings()) {
    head_ = weights.declare("lm_head.weight", table, kRows);
  } else if (part_.has_embedding) {
    head_ = embedding_;
  } else {
    weights.begin_unit();
    head_ = weights.declare("model.embed_tokens.weight", table, kRows);
  }
}

}  // namespace finescale
