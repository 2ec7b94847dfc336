// SPDX-License-Identifier: Apache-2.0
// Whole models in double precision against central differences: every trainable tensor, full and
// LoRA, tied and untied, grouped-query heads, packed segments with a length of one among them.
#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/cross_entropy.h"
#include "kernels/reduce.h"
#include "tests/worker/model_fixture.h"
#include "worker/methods/method.h"
#include "worker/model/transformer.h"

namespace finescale {
namespace {

struct GradientCase {
  std::string name;
  bool tied = true;
  int kv_heads = 4;
  int head_dim = 0;
  bool lora = false;
  std::vector<std::string> targets = {};
  friend void PrintTo(const GradientCase& c, std::ostream* out) { *out << c.name; }
};

MicroBatch small_batch(int vocab) {
  MicroBatch batch;
  Random random(11, Purpose::kTest);
  batch.segments.push_back(0);
  for (const int length : {5, 1, 19, 8}) {
    for (int i = 0; i < length; ++i) {
      batch.tokens.push_back(
          static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab))));
      batch.positions.push_back(i);
      const bool labelled = i + 1 < length && i % 3 != 0;
      batch.labels.push_back(
          labelled ? static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab)))
                   : kIgnoreLabel);
      batch.num_labels += static_cast<std::int64_t>(labelled);
    }
    batch.segments.push_back(static_cast<std::int32_t>(batch.tokens.size()));
  }
  return batch;
}

void perturb(ParameterSet& set, std::uint64_t seed, double size) {
  Random random(seed, Purpose::kTest);
  for (std::int64_t i = 0; i < set.num_elements(); ++i) {
    set.flat().as<double>()[i] += size * random.normal();
  }
}

class ModelGradient : public testing::TestWithParam<GradientCase> {};

TEST_P(ModelGradient, EqualsCentralDifferences) {
  const GradientCase& c = GetParam();
  config::ModelConfig model_config;
  config::Llama& config = *model_config.mutable_llama();
  config.set_vocab_size(37);
  config.set_hidden_size(16);
  config.set_num_layers(2);
  config.set_num_heads(4);
  config.set_num_kv_heads(c.kv_heads);
  config.set_head_dim(c.head_dim);
  config.set_intermediate_size(24);
  config.set_tie_embeddings(c.tied);
  config.set_max_positions(64);
  config.set_initializer_range(0.3);  // large enough for attention that is far from uniform
  ModelLayout layout(model_config);
  ParameterSet weights(DType::kF64);
  layout.declare(weights);
  weights.allocate();
  initialize_weights(layout, 3, weights);
  perturb(weights, 5, 0.1);

  config::Method method_config;
  if (c.lora) {
    method_config.mutable_lora()->set_rank(3);
    for (const std::string& target : c.targets) {
      method_config.mutable_lora()->add_target_modules(target);
    }
  } else {
    method_config.mutable_full();
  }
  const std::unique_ptr<Method> method = make_method(method_config, layout, weights, 7);
  ParameterSet& trainable = method->trainable();
  if (c.lora) {
    perturb(trainable, 9, 0.2);  // B away from zero, else A has no gradient
  }
  Transformer model(layout, weights);
  if (c.lora) {
    model.set_adapters(method->adapters());
  }
  const MicroBatch batch = small_batch(config.vocab_size());
  const double scale = 1.0 / static_cast<double>(batch.num_labels);
  AlignedBuffer memory(trainable.flat().size_bytes());
  const TensorView gradient(memory.data(), DType::kF64, Shape{trainable.num_elements()});
  UnitBlocks blocks;
  trainable.split(gradient, blocks);
  model.bind_gradient(method->bind_gradient(blocks));
  const double loss = model.forward_backward(batch, 64, scale);
  EXPECT_NEAR(loss, model.forward_loss(batch, 64), 1e-12 * loss);

  Random random(13, Purpose::kTest);
  for (int index = 0; index < trainable.size(); ++index) {
    const TensorView values = trainable.view(index);
    const TensorView analytic = trainable.view_in(gradient, index);
    double error = 0;
    double size = 0;
    for (int sample = 0; sample < 12; ++sample) {
      const auto i = static_cast<std::int64_t>(
          random.below(static_cast<std::uint64_t>(values.num_elements())));
      double* value = values.as<double>() + i;
      const double kept = *value;
      const double h = 1e-5;
      *value = kept + h;
      const double up = model.forward_loss(batch, 64);
      *value = kept - h;
      const double down = model.forward_loss(batch, 64);
      *value = kept;
      const double numeric = (up - down) / (2 * h) * scale;
      error += (numeric - analytic.as<double>()[i]) * (numeric - analytic.as<double>()[i]);
      size += numeric * numeric;
    }
    // Rounding of a difference of losses of about 100: 1e-14 * 100 / 1e-5 * scale.
    EXPECT_LT(std::sqrt(error), 1e-6 * std::sqrt(size) + 1e-9) << trainable.tensor(index).name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, ModelGradient,
    testing::Values(GradientCase{"tied"}, GradientCase{"untied", false},
                    GradientCase{"grouped", true, 2}, GradientCase{"one_kv_head_wide", false, 1, 6},
                    GradientCase{"lora", true, 4, 0, true},
                    GradientCase{"lora_grouped", false, 2, 8, true},
                    GradientCase{"lora_part", true, 2, 0, true, {"q_proj", "v_proj", "down_proj"}}),
    [](const auto& instance) { return instance.param.name; });

class FamilyGradient : public testing::TestWithParam<model_test::Shape4> {};

// Whole models of the other families: 12 elements of every tensor.
TEST_P(FamilyGradient, EqualsCentralDifferences) {
  model_test::Held held(GetParam(), DType::kF64);
  const MicroBatch batch = model_test::make_batch();
  const double loss = held.step(batch);
  EXPECT_NEAR(loss, held.model->forward_loss(batch, 64), 1e-12 * loss);
  ParameterSet& trainable = held.method->trainable();
  Random random(13, Purpose::kTest);
  for (int index = 0; index < trainable.size(); ++index) {
    const TensorView values = trainable.view(index);
    const TensorView analytic = trainable.view_in(held.gradient, index);
    double error = 0;
    double size = 0;
    for (int sample = 0; sample < 12; ++sample) {
      const auto i = static_cast<std::int64_t>(
          random.below(static_cast<std::uint64_t>(values.num_elements())));
      double* value = values.as<double>() + i;
      const double kept = *value;
      *value = kept + 1e-5;
      const double up = held.model->forward_loss(batch, 64);
      *value = kept - 1e-5;
      const double down = held.model->forward_loss(batch, 64);
      *value = kept;
      const double numeric = (up - down) / 2e-5 * 0.25;  // the scale of Held::step
      error += std::pow(numeric - analytic.as<double>()[i], 2);
      size += numeric * numeric;
    }
    // Rounding of a difference of losses of about 100: 1e-14 * 100 / 1e-5.
    EXPECT_LT(std::sqrt(error), 1e-6 * std::sqrt(size) + 1e-7) << trainable.tensor(index).name;
  }
}

TEST(LoraMethod, OnlyAMissingGateIsTheUsersError) {
  ModelLayout layout(model_test::model_config({.family = "gpt2"}));
  ParameterSet weights(DType::kF32);
  layout.declare(weights);
  config::Method method;
  method.mutable_lora()->add_target_modules("gate_proj");
  try {
    (void)make_method(method, layout, weights, 1);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_EQ(error.where(), "method.lora.target_modules");
  }
}

// A k bias shifts all scores of a query alike unless positions turn it: no gradient to compare, so
// the absolute term above carries it for learned positions.
std::vector<model_test::Shape4> family_shapes() {
  std::vector<model_test::Shape4> shapes;
  for (const std::string& family : model_test::other_families()) {
    const bool tied = family != "phi";  // whose head has a bias
    shapes.push_back({.tied = tied, .layers = 2, .family = family});
    shapes.push_back({.kv_heads = family.starts_with("gpt") ? 4 : 2,
                      .tied = false,
                      .lora = true,
                      .layers = 2,
                      .family = family});
  }
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGradient, testing::ValuesIn(family_shapes()),
                         [](const auto& instance) {
                           return instance.param.family + (instance.param.lora ? "_lora" : "");
                         });

TEST(Tape, AllocatesNothingInTheSteadyState) {
  config::ModelConfig model_config;
  config::Llama& config = *model_config.mutable_llama();
  config.set_vocab_size(37);
  config.set_hidden_size(16);
  config.set_num_layers(3);
  config.set_intermediate_size(24);
  config.set_max_positions(64);
  ModelLayout layout(model_config);
  ParameterSet weights(DType::kF32);
  layout.declare(weights);
  weights.allocate();
  initialize_weights(layout, 3, weights);
  Transformer model(layout, weights);
  AlignedBuffer memory(weights.flat().size_bytes());
  const TensorView gradient(memory.data(), DType::kF32, Shape{weights.num_elements()});
  UnitBlocks blocks;
  weights.split(gradient, blocks);
  model.bind_gradient(blocks);
  MicroBatch batch = small_batch(config.vocab_size());
  (void)model.forward_backward(batch, 64, 1);
  const std::int64_t before = model.tape().num_system_allocations();
  for (int i = 0; i < 5; ++i) {
    (void)model.forward_backward(batch, 64, 1);
    (void)model.forward_loss(batch, 64);
  }
  EXPECT_EQ(model.tape().num_system_allocations(), before);
}

}  // namespace
}  // namespace finescale
