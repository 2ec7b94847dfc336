// SPDX-License-Identifier: Apache-2.0
// Against numbers that another implementation computed in double precision for the same weights:
// losses, gradients of every tensor, AdamW steps, greedy ids; full and LoRA; alone and packed.
#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cross_entropy.h"
#include "kernels/reduce.h"
#include "tests/worker/greedy_answers.h"
#include "tests/worker/reference_model.h"
#include "worker/eval/generate.h"
#include "worker/methods/method.h"
#include "worker/model/transformer.h"
#include "worker/optim/update_rule.h"

namespace finescale {
namespace {

struct Reference {
  std::string name;
  std::string base;  // directory of the weights; another one than `name` for an adapter
  friend void PrintTo(const Reference& reference, std::ostream* out) { *out << reference.name; }
};

// labels[t] of the files is the token at t; ours is the one that position t predicts.
void append(const nlohmann::json& one, MicroBatch& batch) {
  if (batch.segments.empty()) {
    batch.segments.push_back(0);
  }
  const auto& ids = one.at("ids");
  const auto& labels = one.at("labels");
  for (std::size_t t = 0; t < ids.size(); ++t) {
    batch.tokens.push_back(ids[t]);
    batch.positions.push_back(static_cast<std::int32_t>(t));
    const std::int32_t next = t + 1 < ids.size() ? labels[t + 1].get<std::int32_t>() : -100;
    batch.labels.push_back(next == -100 ? kIgnoreLabel : next);
    batch.num_labels += next == -100 ? 0 : 1;
  }
  batch.segments.push_back(static_cast<std::int32_t>(batch.tokens.size()));
}

double relative_error(const float* got, const std::vector<float>& wanted) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    error += std::pow(double{got[i]} - wanted[i], 2);
    size += std::pow(double{wanted[i]}, 2);
  }
  return std::sqrt(error / size);
}

class ModelParity : public testing::TestWithParam<Reference> {
 protected:
  void SetUp() override {
    where_ = reference::directory(GetParam().name);
    const std::string base = reference::directory(GetParam().base);
    if (!std::filesystem::exists(where_) || !std::filesystem::exists(base)) {
      GTEST_SKIP() << "no reference models at " << where_;
    }
    numbers_ = reference::read_json(where_ + "/reference.json");
    config_ = reference::read_config(base);
    layout_ = std::make_unique<ModelLayout>(config_);
    layout_->declare(weights_);
    weights_.allocate();
    const auto tensors = reference::read_tensors(base, "model");
    for (const LogicalShape& tensor : logical_tensors(layout_->shape())) {
      copy({{}, reference::logical_values(config_, tensor, tensors)}, tensor.name, weights_);
    }
    config::Method config;
    if (is_adapter()) {
      const nlohmann::json json = reference::read_json(where_ + "/adapter_config.json");
      config.mutable_lora()->set_rank(json.at("r"));
      config.mutable_lora()->set_alpha(json.at("lora_alpha"));
      for (const auto& module : json.at("target_modules")) {
        config.mutable_lora()->add_target_modules(module);
      }
    } else {
      config.mutable_full();
    }
    method_ = make_method(config, *layout_, weights_, 1);
    if (is_adapter()) {
      const auto adapter = reference::read_tensors(where_, "adapter_model");
      ASSERT_EQ(static_cast<int>(adapter.size()), method_->trainable().size());
      for (const auto& [name, array] : adapter) {
        copy(array, own_name(name), method_->trainable());
      }
    }
    model_ = std::make_unique<Transformer>(*layout_, weights_);
    model_->set_adapters(method_->adapters());
    memory_ = AlignedBuffer(method_->trainable().flat().size_bytes());
    for (const auto& one : numbers_.at("cases")) {
      append(one, packed_);
    }
  }

  [[nodiscard]] bool is_adapter() const { return GetParam().base != GetParam().name; }

  // base_model.model.model.layers.0.mlp.down_proj.lora_A.default.weight -> ...down_proj/A
  static std::string own_name(std::string name) {
    const std::string prefix = "base_model.model.";
    if (!name.starts_with(prefix)) {
      return name;
    }
    name = name.substr(prefix.size());
    const std::size_t at = name.find(".lora_");
    return name.substr(0, at) + "/" + name[at + 6];
  }

  static void copy(const reference::Array& array, const std::string& name, ParameterSet& set) {
    const int index = set.find(name);
    ASSERT_GE(index, 0) << name;
    const TensorView view = set.view(index);
    ASSERT_EQ(static_cast<std::size_t>(view.num_elements()), array.values.size()) << name;
    std::copy(array.values.begin(), array.values.end(), view.as<float>());
  }

  [[nodiscard]] TensorView gradient() const {
    return {memory_.data(), DType::kF32, Shape{method_->trainable().num_elements()}};
  }

  // Mean loss of all cases in one packed row; fills gradient().
  double forward_backward() {
    std::memset(memory_.data(), 0, memory_.size_bytes());
    const double scale = 1.0 / static_cast<double>(packed_.num_labels);
    UnitBlocks blocks;
    method_->trainable().split(gradient(), blocks);
    model_->bind_gradient(method_->bind_gradient(blocks));
    return model_->forward_backward(packed_, 64, scale) * scale;
  }

  std::string where_;
  nlohmann::json numbers_;
  config::ModelConfig config_;
  std::unique_ptr<ModelLayout> layout_;
  ParameterSet weights_{DType::kF32};
  std::unique_ptr<Method> method_;
  std::unique_ptr<Transformer> model_;
  AlignedBuffer memory_;
  MicroBatch packed_;
};

TEST_P(ModelParity, LossOfEachCaseAlone) {
  for (const auto& one : numbers_.at("cases")) {
    MicroBatch batch;
    append(one, batch);
    EXPECT_EQ(batch.num_labels, one.at("labelled_tokens").get<std::int64_t>());
    const double wanted = one.at("sum_loss");
    EXPECT_NEAR(model_->forward_loss(batch, 64), wanted,
                1e-5 * static_cast<double>(batch.num_labels));
  }
}

TEST_P(ModelParity, GradientsOfThePackedCases) {
  EXPECT_NEAR(forward_backward(), numbers_.at("mean_loss").get<double>(), 1e-5);
  ParameterSet& trainable = method_->trainable();
  const auto files = reference::read_tensors(where_, "reference");
  double worst = 0;
  int compared = 0;
  const auto compare = [&](const std::string& name, const std::vector<float>& wanted) {
    const int index = trainable.find(name);
    ASSERT_GE(index, 0) << name;
    double largest = 0;
    for (const float value : wanted) {
      largest = std::max(largest, std::abs(double{value}));
    }
    // Biases of k shift a query's scores alike: their gradients are rounding.
    const double error =
        largest < 1e-6 ? 0
                       : relative_error(trainable.view_in(gradient(), index).as<float>(), wanted);
    EXPECT_LT(error, 1e-4) << name;
    worst = std::max(worst, error);
    ++compared;
  };
  const std::string prefix = "gradient.";
  if (is_adapter()) {
    for (const auto& [key, array] : files) {
      if (key.starts_with(prefix)) {
        compare(own_name(key.substr(prefix.size())), array.values);
      }
    }
  } else {
    for (const LogicalShape& tensor : logical_tensors(layout_->shape())) {
      compare(tensor.name, reference::logical_values(config_, tensor, files, prefix));
    }
  }
  EXPECT_EQ(compared, trainable.size());
  RecordProperty("worst_relative_error", std::to_string(worst));
}

// Log-probabilities of the whole vocabulary at every position, by asking for the loss of each
// entry.
TEST_P(ModelParity, LogitsOfEachCase) {
  const auto files = reference::read_tensors(where_, "reference");
  std::size_t number = 0;
  for (const auto& one : numbers_.at("cases")) {
    const auto& logits = files.at("logits." + std::to_string(number++));
    MicroBatch batch;
    append(one, batch);
    const std::int64_t vocab = layout_->shape().vocab_size;
    double worst = 0;
    for (std::int64_t v = 0; v < vocab; ++v) {
      std::fill(batch.labels.begin(), batch.labels.end(), static_cast<std::int32_t>(v));
      TensorView losses;
      (void)model_->forward_loss(batch, 64, &losses);
      for (std::int64_t t = 0; t < batch.num_tokens(); ++t) {
        const float* row = logits.values.data() + t * vocab;
        double sum = 0;
        for (std::int64_t other = 0; other < vocab; ++other) {
          sum += std::exp(double{row[other]} - row[v]);
        }
        worst = std::max(worst, std::abs(losses.as<float>()[t] - std::log(sum)));
      }
    }
    EXPECT_LT(worst, 1e-4) << "case " << number - 1;
  }
}

TEST_P(ModelParity, SixStepsOfAdamW) {
  const nlohmann::json& wanted = numbers_.at("adamw");
  config::Train config;
  config.set_weight_decay(wanted.at("weight_decay"));
  config.set_decay_on(config::DECAY_ON_ALL);
  config.set_clip_norm(wanted.at("clip_global_norm"));
  const std::unique_ptr<UpdateRule> optimizer = make_update_rule(config);
  const Stream stream;
  const TensorView values = method_->trainable().flat();
  AlignedBuffer moments(2 * values.size_bytes());
  const TensorView m(moments.data(), values.dtype, values.shape);
  const TensorView v(static_cast<std::byte*>(moments.data()) + values.size_bytes(), values.dtype,
                     values.shape);
  const auto losses =
      wanted.at("losses_before_each_step_and_after_last").get<std::vector<double>>();
  for (std::size_t step = 0; step < losses.size(); ++step) {
    // Early steps of Adam follow signs, so rounding grows from step to step.
    const double tolerance = step == 0 ? 1e-5 : step < 3 ? 1e-4 : 1e-3;
    EXPECT_NEAR(forward_backward(), losses[step], tolerance) << "before step " << step + 1;
    optimizer->update(stream, std::vector<UpdateRange>{{values, gradient(), m, v, true}},
                      {static_cast<std::int64_t>(step) + 1, wanted.at("lr"),
                       std::sqrt(squared_norm(stream, gradient()))});
  }
}

TEST_P(ModelParity, GreedyIds) {
  if (!numbers_.contains("greedy")) {
    GTEST_SKIP() << "the reference has none";
  }
  const nlohmann::json& wanted = numbers_.at("greedy");
  const auto group = make_single_group();
  const auto answers = greedy_answers(*group, *model_, {wanted.at("prompt_ids")}, 8);
  EXPECT_EQ(answers[0], wanted.at("next_8_ids").get<std::vector<std::int32_t>>());
}

INSTANTIATE_TEST_SUITE_P(References, ModelParity,
                         testing::Values(Reference{"llama-tied", "llama-tied"},
                                         Reference{"llama-gqa-untied", "llama-gqa-untied"},
                                         Reference{"qwen2-bias-bf16", "qwen2-bias-bf16"},
                                         Reference{"gpt2", "gpt2"},
                                         Reference{"lora-on-llama-tied", "llama-tied"}),
                         [](const auto& instance) {
                           std::string name = instance.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace finescale
