// SPDX-License-Identifier: Apache-2.0
#include "worker/model/transformer.h"

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/random.h"
#include "kernels/rope.h"

namespace finescale {

ModelLayout::ModelLayout(const config::Llama& config) : config_(config) {
  if (config_.num_kv_heads() == 0) {
    config_.set_num_kv_heads(config_.num_heads());
  }
  if (config_.head_dim() == 0) {
    config_.set_head_dim(config_.hidden_size() / config_.num_heads());
  }
  attention_ = {.num_heads = config_.num_heads(),
                .num_kv_heads = config_.num_kv_heads(),
                .head_dim = config_.head_dim(),
                .scale = 1.0 / std::sqrt(static_cast<double>(config_.head_dim()))};
}

void ModelLayout::declare(ParameterSet& weights) {
  const std::int64_t width = config_.hidden_size();
  const std::int64_t query = std::int64_t{config_.num_heads()} * config_.head_dim();
  const std::int64_t key = std::int64_t{config_.num_kv_heads()} * config_.head_dim();
  const std::int64_t inner = config_.intermediate_size();
  embedding_ = weights.declare("model.embed_tokens.weight", {config_.vocab_size(), width});
  layers_.clear();
  for (int layer = 0; layer < config_.num_layers(); ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    LayerIndex index;
    index.input_norm = weights.declare(prefix + "input_layernorm.weight", {width});
    index.q = weights.declare(prefix + "self_attn.q_proj.weight", {query, width});
    index.k = weights.declare(prefix + "self_attn.k_proj.weight", {key, width});
    index.v = weights.declare(prefix + "self_attn.v_proj.weight", {key, width});
    index.o = weights.declare(prefix + "self_attn.o_proj.weight", {width, query});
    index.post_norm = weights.declare(prefix + "post_attention_layernorm.weight", {width});
    index.gate = weights.declare(prefix + "mlp.gate_proj.weight", {inner, width});
    index.up = weights.declare(prefix + "mlp.up_proj.weight", {inner, width});
    index.down = weights.declare(prefix + "mlp.down_proj.weight", {width, inner});
    layers_.push_back(index);
  }
  final_norm_ = weights.declare("model.norm.weight", {width});
  head_ = config_.tie_embeddings()
              ? embedding_
              : weights.declare("lm_head.weight", {config_.vocab_size(), width});
  num_layer_parameters_ =
      config_.num_layers() * (width * (2 * query + 2 * key) + 3 * width * inner);
}

namespace {

std::uint64_t name_stream(const std::string& name) {
  return std::stoull(hash_hex(name).substr(0, 16), nullptr, 16);
}

template <class T>
void fill_normal(const TensorView& view, std::int64_t seed, const std::string& name,
                 double deviation) {
  const std::uint64_t stream = name_stream(name);
  parallel_for((view.num_elements() + 1) / 2, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t pair = begin; pair < end;
         ++pair) {  // one Philox block gives one Box-Muller pair
      const auto words = philox(static_cast<std::uint64_t>(seed), Purpose::kWeights,
                                static_cast<std::uint64_t>(pair), stream);
      const double u = (static_cast<double>(words[0]) + 0.5) * 0x1.0p-32;
      const double angle = (static_cast<double>(words[1]) + 0.5) * 0x1.0p-32 * 6.283185307179586;
      const double radius = std::sqrt(-2 * std::log(u)) * deviation;
      view.as<T>()[2 * pair] = static_cast<T>(radius * std::cos(angle));
      if (2 * pair + 1 < view.num_elements()) {
        view.as<T>()[2 * pair + 1] = static_cast<T>(radius * std::sin(angle));
      }
    }
  });
}

}  // namespace

void initialize_weights(const ModelLayout& layout, std::int64_t seed, ParameterSet& weights) {
  for (int index = 0; index < weights.size(); ++index) {
    const LogicalTensor& tensor = weights.tensor(index);
    const TensorView view = weights.view(index);
    const bool f64 = weights.dtype() == DType::kF64;
    if (tensor.shape.rank == 1) {
      for (std::int64_t i = 0; i < view.num_elements(); ++i) {
        f64 ? view.as<double>()[i] = 1 : view.as<float>()[i] = 1;
      }
    } else if (f64) {
      fill_normal<double>(view, seed, tensor.name, layout.config().initializer_range());
    } else {
      fill_normal<float>(view, seed, tensor.name, layout.config().initializer_range());
    }
  }
}

Transformer::Transformer(const ModelLayout& layout, const ParameterSet& weights)
    : layout_(&layout), weights_(&weights), tape_(weights.dtype()) {
  const std::int64_t half = layout.config().head_dim() / 2;
  const std::int64_t positions = layout.config().max_positions();
  rope_memory_ =
      AlignedBuffer(static_cast<std::size_t>(2 * positions * half) * dtype_size(weights.dtype()));
  const TensorView table(rope_memory_.data(), weights.dtype(), Shape{2 * positions, half});
  cos_ = table.row_range(0, positions);
  sin_ = table.row_range(positions, 2 * positions);
  rope_table(layout.config().rope_theta(), cos_, sin_);
  adapters_.resize(static_cast<std::size_t>(layout.num_layers()));
}

Weight Transformer::weight(int index, const TensorView& base_gradient) const {
  return {weights_->view(index),
          base_gradient.empty() ? TensorView() : weights_->view_in(base_gradient, index)};
}

Weight Transformer::stack(int first, int last, const TensorView& base_gradient) const {
  return {weights_->stack(first, last),
          base_gradient.empty() ? TensorView() : weights_->stack_in(base_gradient, first, last)};
}

double Transformer::forward(const MicroBatch& batch, std::int64_t max_tokens, double scale,
                            const TensorView& base_gradient, bool training,
                            TensorView* token_losses) {
  const AttentionShape attention = layout_->attention();
  const std::int64_t rotated =
      std::int64_t{attention.num_heads + attention.num_kv_heads} * attention.head_dim;
  const double eps = layout_->config().rms_norm_eps();
  tape_.begin(batch.num_tokens(), max_tokens, training);
  Value delta = tape_.embedding(batch.tokens, weight(layout_->embedding(), base_gradient));
  Value stream = kNoValue;
  for (int i = 0; i < layout_->num_layers(); ++i) {
    const LayerIndex& layer = layout_->layer(i);
    const LayerAdapters& adapters = adapters_[static_cast<std::size_t>(i)];
    const Value normed =
        tape_.add_norm(delta, stream, weight(layer.input_norm, base_gradient), eps, &stream);
    const Value qkv = tape_.linear(normed, stack(layer.q, layer.v, base_gradient), adapters.qkv);
    tape_.rope(qkv, rotated, batch.positions, cos_, sin_);
    const Value mixed = tape_.attention(qkv, attention, batch.segments);
    delta = tape_.linear(mixed, weight(layer.o, base_gradient), adapters.o);
    const Value inner =
        tape_.add_norm(delta, stream, weight(layer.post_norm, base_gradient), eps, &stream);
    const Value gate_up =
        tape_.linear(inner, stack(layer.gate, layer.up, base_gradient), adapters.gate_up);
    delta = tape_.linear(tape_.swiglu(gate_up), weight(layer.down, base_gradient), adapters.down);
  }
  const Value last =
      tape_.add_norm(delta, stream, weight(layout_->final_norm(), base_gradient), eps, &stream);
  return tape_.cross_entropy(last, weight(layout_->head(), base_gradient), batch.labels, scale,
                             token_losses);
}

double Transformer::forward_backward(const MicroBatch& batch, std::int64_t max_tokens, double scale,
                                     const TensorView& base_gradient) {
  const double loss = forward(batch, max_tokens, scale, base_gradient, true, nullptr);
  tape_.backward();
  return loss;
}

double Transformer::forward_loss(const MicroBatch& batch, std::int64_t max_tokens,
                                 TensorView* token_losses) {
  return forward(batch, max_tokens, 0, TensorView(), false, token_losses);
}

}  // namespace finescale
