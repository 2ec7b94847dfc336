// SPDX-License-Identifier: Apache-2.0
// Small models cut in every way: the same weights by (tensor rank, range of layers), one
// micro-batch, and gradients gathered back by name.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/random.h"
#include "kernels/cross_entropy.h"
#include "worker/methods/method.h"
#include "worker/model/transformer.h"

namespace finescale::model_test {

struct Shape4 {
  int heads = 4;
  int kv_heads = 4;
  bool tied = true;
  bool lora = false;
  int layers = 3;
  std::string family = "llama";
  bool vera = false;
};

template <class M>
M sized(const Shape4& shape) {
  M config;
  config.set_vocab_size(44);
  config.set_hidden_size(16);
  config.set_num_layers(shape.layers);
  config.set_num_heads(shape.heads);
  config.set_intermediate_size(24);
  config.set_tie_embeddings(shape.tied);
  config.set_max_positions(64);
  config.set_initializer_range(0.3);  // attention far from uniform
  if constexpr (requires { config.set_num_kv_heads(1); }) {
    config.set_num_kv_heads(shape.kv_heads);
  }
  if constexpr (requires { config.set_head_dim(1); }) {
    config.set_head_dim(6);
  }
  return config;
}

// A family's model with its knobs away from what they are by default.
inline config::ModelConfig model_config(const Shape4& shape) {
  config::ModelConfig config;
  if (shape.family == "llama") {
    *config.mutable_llama() = sized<config::Llama>(shape);
  } else if (shape.family == "llama_biased") {
    *config.mutable_llama() = sized<config::Llama>(shape);
    config.mutable_llama()->set_attention_bias(true);
    config.mutable_llama()->set_mlp_bias(true);
    config.mutable_llama()->mutable_rope_scaling()->mutable_llama3()->set_original_positions(16);
  } else if (shape.family == "mistral") {
    *config.mutable_mistral() = sized<config::Mistral>(shape);
    config.mutable_mistral()->set_sliding_window(5);
  } else if (shape.family == "qwen2") {
    *config.mutable_qwen2() = sized<config::Qwen2>(shape);
    config.mutable_qwen2()->set_sliding_window(3);
    config.mutable_qwen2()->set_first_window_layer(1);
  } else if (shape.family == "qwen3") {
    *config.mutable_qwen3() = sized<config::Qwen3>(shape);
  } else if (shape.family == "gemma") {
    *config.mutable_gemma() = sized<config::Gemma>(shape);
  } else if (shape.family == "gpt2") {
    *config.mutable_gpt2() = sized<config::Gpt2>(shape);
  } else if (shape.family == "gpt_neox" || shape.family == "gpt_neox_sequential") {
    *config.mutable_gpt_neox() = sized<config::GptNeox>(shape);
    config.mutable_gpt_neox()->set_rotary_fraction(0.5);
    config.mutable_gpt_neox()->set_parallel_residual(shape.family == "gpt_neox");
  } else {
    FS_CHECK(shape.family == "phi", "no such family");
    *config.mutable_phi() = sized<config::Phi>(shape);
  }
  return config;
}

inline const std::vector<std::string>& other_families() {
  static const std::vector<std::string> kFamilies = {
      "llama_biased",        "mistral", "qwen2", "qwen3", "gemma", "gpt2", "gpt_neox",
      "gpt_neox_sequential", "phi"};
  return kFamilies;
}

// Segments of which one is a single token; tokens repeat, so that rows of the embedding meet.
inline MicroBatch make_batch(const std::vector<int>& lengths = {5, 1, 19, 8}) {
  MicroBatch batch;
  Random random(11, Purpose::kTest);
  batch.segments.push_back(0);
  for (const int length : lengths) {
    for (int i = 0; i < length; ++i) {
      batch.tokens.push_back(static_cast<std::int32_t>(random.below(i % 2 == 0 ? 44 : 5)));
      batch.positions.push_back(i);
      const bool labelled = i + 1 < length && i % 3 != 0;
      batch.labels.push_back(labelled ? static_cast<std::int32_t>(random.below(44)) : kIgnoreLabel);
      batch.num_labels += static_cast<std::int64_t>(labelled);
    }
    batch.segments.push_back(static_cast<std::int32_t>(batch.tokens.size()));
  }
  return batch;
}

// Adds noise keyed by the logical element, so that norms and B are not constant.
inline void perturb(ParameterSet& set, double size) {
  for (int index = 0; index < set.size(); ++index) {
    const TensorView view = set.view(index);
    const std::uint64_t stream = name_stream(set.tensor(index).name);
    for_each_run(set.tensor(index).shape, set.part(index), [&](auto logical, auto local, auto n) {
      for (std::int64_t i = 0; i < n; ++i) {
        const auto words =
            philox(17, Purpose::kTest, static_cast<std::uint64_t>(logical + i), stream);
        const double value = size * (static_cast<double>(words[0]) * 0x1.0p-31 - 1);
        view.dtype == DType::kF64 ? view.as<double>()[local + i] += value
                                  : view.as<float>()[local + i] += static_cast<float>(value);
      }
    });
  }
}

// A model, or a part of one, with everything that a training step needs.
struct Held {
  Held(const Shape4& shape, DType dtype, const ModelPart& part = {},
       TransformerOptions options = {})
      : layout(model_config(shape), part), weights(dtype, part.tensor_rank, part.tensor_size) {
    layout.declare(weights);
    weights.allocate();
    initialize_weights(layout, 3, weights);
    perturb(weights, 0.1);
    config::Method config;
    const bool has_adapters = shape.lora || shape.vera;
    if (shape.vera) {
      config.mutable_vera()->set_rank(3);
    } else if (shape.lora) {
      config.mutable_lora()->set_rank(3);
    } else {
      config.mutable_full();
    }
    method = make_method(config, layout, weights, 7);
    if (has_adapters) {
      perturb(method->trainable(), 0.2);  // B away from zero, else A has no gradient
    }
    model = std::make_unique<Transformer>(layout, weights, std::move(options));
    model->set_adapters(method->adapters());
    model->set_trains(!has_adapters);
    memory = AlignedBuffer(method->trainable().flat().size_bytes());
    method->trainable().split(
        TensorView(memory.data(), dtype, Shape{method->trainable().num_elements()}), gradient);
  }
  void bind() {
    std::memset(memory.data(), 0, memory.size_bytes());
    model->bind_gradient(method->bind_gradient(gradient));
  }
  double step(const MicroBatch& batch) {
    bind();
    return model->forward_backward(batch, 64, 0.25);
  }
  [[nodiscard]] std::string gradient_bytes() const {
    return {static_cast<const char*>(memory.data()), memory.size_bytes()};
  }

  ModelLayout layout;
  ParameterSet weights;
  std::unique_ptr<Method> method;
  std::unique_ptr<Transformer> model;
  AlignedBuffer memory;
  UnitBlocks gradient;
};

// Whole gradients by name, in double precision.
using Gradients = std::map<std::string, std::vector<double>>;

// Puts a rank's parts where they belong; parts that several ranks hold are sums of theirs.
inline void add_parts(const Held& held, Gradients& all) {
  const ParameterSet& set = held.method->trainable();
  for (int index = 0; index < set.size(); ++index) {
    std::vector<double>& whole = all[set.tensor(index).name];
    whole.resize(static_cast<std::size_t>(set.tensor(index).shape.num_elements()));
    const TensorView view = set.view_in(held.gradient, index);
    for_each_run(set.tensor(index).shape, set.part(index), [&](auto logical, auto local, auto n) {
      for (std::int64_t i = 0; i < n; ++i) {
        whole[static_cast<std::size_t>(logical + i)] +=
            view.dtype == DType::kF64 ? view.as<double>()[local + i] : view.as<float>()[local + i];
      }
    });
  }
}

}  // namespace finescale::model_test
