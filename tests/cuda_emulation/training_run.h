// SPDX-License-Identifier: Apache-2.0
// A tiny model that trains on the CPU or a GPU, alone or as one rank of a mesh: what tests of whole
// steps have in common.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "worker/data/loader.h"
#include "worker/engines.h"
#include "worker/optim/schedule.h"
#include "worker/single_engine.h"
#include "worker/train_model.h"

namespace finescale {

using cuda::emulation::Pace;

inline constexpr int kVocab = 48;

inline config::ModelConfig model_config(const std::string& family, int num_layers, int hidden) {
  config::ModelConfig config;
  const auto size = [num_layers, hidden](auto& model) {
    model.set_vocab_size(kVocab);
    model.set_hidden_size(hidden);
    model.set_num_layers(num_layers);
    model.set_num_heads(4);
    model.set_intermediate_size(hidden + 16);
    model.set_max_positions(32);
    model.set_initializer_range(0.1);
  };
  if (family == "llama") {
    size(*config.mutable_llama());
    config.mutable_llama()->set_num_kv_heads(2);
    config.mutable_llama()->set_tie_embeddings(true);
  } else if (family == "gpt2") {
    size(*config.mutable_gpt2());
  } else {
    size(*config.mutable_qwen3());
    config.mutable_qwen3()->set_num_kv_heads(2);
    config.mutable_qwen3()->set_head_dim(8);
    config.mutable_qwen3()->set_tie_embeddings(false);
  }
  return config;
}

struct Setting {
  std::string family = "llama";
  int num_layers = 1;
  std::string method = "full";
  config::OptimizerState moments = config::OPTIMIZER_STATE_FULL;
  Recompute recompute = Recompute::kNone;
  bool host_moments = false;
  Products products = Products::kF32;
  Pace pace = Pace::kLate;
  std::int64_t example_length = 0;  // 0: of different lengths
  std::string optimizer = "adamw";
  int hidden = 32;
};

inline config::Train train_config(const Setting& setting) {
  config::Train train;
  if (setting.method == "lora") {
    train.mutable_method()->mutable_lora()->set_rank(4);
  } else if (setting.method == "qlora") {
    train.mutable_method()->mutable_qlora()->set_rank(4);
  } else {
    train.mutable_method()->mutable_full();
  }
  train.mutable_batch()->set_examples(4);
  if (setting.optimizer == "sgd") {
    train.mutable_optimizer()->mutable_sgd()->set_momentum(0.9);
  } else if (setting.optimizer == "lion") {
    train.mutable_optimizer()->mutable_lion();
  }
  train.set_micro_batch_tokens(16);
  train.set_learning_rate(2e-3);
  train.mutable_schedule()->mutable_linear();
  train.set_weight_decay(0.01);
  train.set_clip_norm(0.5);
  train.set_optimizer_state(setting.moments);
  return train;
}

// Packed rows: several examples of a micro-batch; length 0: different ones.
inline Dataset examples(int steps, std::int64_t wanted_length) {
  std::vector<Example> all;
  Random random(4, Purpose::kTest);
  for (int i = 0; i < 4 * steps; ++i) {
    Example example;
    const auto length =
        wanted_length > 0 ? wanted_length : static_cast<std::int64_t>(3 + random.below(6));
    for (std::int64_t t = 0; t < length; ++t) {
      example.tokens.push_back(static_cast<std::int32_t>(random.below(kVocab)));
    }
    all.push_back(std::move(example));
  }
  return Dataset(all);
}

// A model that trains on the CPU or a GPU, alone or as one rank of a mesh.
class TrainedRun {
 public:
  TrainedRun(const Setting& setting, int steps, Gpu* gpu, const Engine* of_mesh = nullptr)
      : train_(train_config(setting)),
        data_(examples(steps, setting.example_length)),
        loader_(data_, train_, 1) {
    Engine engine = of_mesh != nullptr ? *of_mesh : single_.engine();
    engine.recompute = setting.recompute;
    engine.host_moments = setting.host_moments;
    engine.stream =
        (gpu != nullptr ? gpu->stream() : engine.stream).with_products(setting.products);
    base_ =
        make_base_model(engine, model_config(setting.family, setting.num_layers, setting.hidden),
                        DType::kF32, {.quantised = quantisation_of(train_.method())});
    initialize(base_, 1);
    model_ = std::make_unique<TrainModel>(engine, base_, train_, 1, loader_);
  }
  // Loss and norm of a step whose losses are scaled.
  std::pair<double, double> step(std::int64_t number, double more = 1) {
    loader_.fill(number, batch_);
    const double scale = more / static_cast<double>(batch_.num_labels);
    const double loss = model_->forward_backward(batch_, scale) * scale;
    model_->find_gradient_norm();
    model_->update(number + 1, learning_rate_at(train_, number + 1, num_steps()));
    return {loss, model_->gradient_norm()};
  }
  // A step up to its end, but for the norm.
  void step_without_norm(std::int64_t number, const std::function<void()>& before_norm) {
    loader_.fill(number, batch_);
    (void)model_->forward_backward(batch_, 1.0 / static_cast<double>(batch_.num_labels));
    before_norm();
    model_->find_gradient_norm();
    model_->update(number + 1, learning_rate_at(train_, number + 1, num_steps()));
  }
  [[nodiscard]] TrainModel& model() { return *model_; }
  [[nodiscard]] std::int64_t num_steps() const { return loader_.num_steps(); }
  // Everything that a checkpoint holds.
  [[nodiscard]] std::vector<std::vector<std::byte>> state() {
    std::vector<std::vector<std::byte>> all;
    for (const CheckpointTensor& tensor : model_->share_for_writing(true, false)) {
      const auto* data = tensor.local.as<std::byte>();
      all.emplace_back(data, data + tensor.local.size_bytes());
    }
    model_->have_written();
    return all;
  }
  void restore(const std::vector<std::vector<std::byte>>& state) {
    std::size_t i = 0;
    for (const CheckpointTensor& tensor : model_->owned_for_reading(false)) {
      ASSERT_EQ(tensor.local.size_bytes(), state[i].size());
      std::memcpy(tensor.local.data, state[i].data(), state[i].size());
      ++i;
    }
    model_->have_read();
  }

 private:
  SingleEngine single_;
  config::Train train_;
  Dataset data_;
  TrainLoader loader_;
  BaseModel base_;
  std::unique_ptr<TrainModel> model_;
  GlobalBatch batch_;
};

}  // namespace finescale
