// SPDX-License-Identifier: Apache-2.0
#include "worker/accounting.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "configs/mesh_plan.h"
#include "configs/method_shape.h"
#include "sharding/planner/memory.h"

namespace finescale {
namespace {

// Pairs of a layer counted one by one; the count leaves out half of the diagonal, as s^2 does.
double counted(std::int64_t length, std::int64_t window) {
  double twice = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    twice += 2 * static_cast<double>(window == 0 ? i + 1 : std::min(i + 1, window));
  }
  return twice - static_cast<double>(window == 0 ? length : std::min(length, window));
}

TEST(Accounting, AWindowCountsItsPairsAlone) {
  DecoderShape shape;
  shape.num_layers = 3;
  shape.sliding_window = 4;
  shape.first_window_layer = 1;
  for (const std::int64_t length : {1, 3, 4, 5, 100}) {
    EXPECT_DOUBLE_EQ(attended(shape, length), (counted(length, 0) + 2 * counted(length, 4)) / 3)
        << length;
  }
  shape.sliding_window = 0;
  EXPECT_DOUBLE_EQ(attended(shape, 100), 1e4);
}

TEST(Accounting, AFrozenBranchIsMultipliedWithoutAGradient) {
  config::ModelConfig model;
  config::Llama& llama = *model.mutable_llama();
  llama.set_hidden_size(8);
  llama.set_intermediate_size(16);
  llama.set_num_layers(1);
  llama.set_num_heads(2);
  llama.set_vocab_size(16);
  const ModelLayout layout(model);
  config::Method lora;
  lora.mutable_lora();
  config::Method pissa = lora;
  pissa.mutable_lora()->set_init(config::LORA_INIT_PISSA);
  constexpr std::int64_t kAdapters = 100;
  constexpr std::int64_t kTokens = 7;
  EXPECT_DOUBLE_EQ(train_flops(layout, pissa, kAdapters, kTokens, 3, 5) -
                       train_flops(layout, lora, kAdapters, kTokens, 3, 5),
                   4 * kAdapters * kTokens);
}

// Of SmolLM2-135M; that what is planned is what is used is every kind's test.
TEST(Accounting, ABaseOfFewBitsTakesAQuarterWithATableOfBf16) {
  config::ModelConfig model;
  config::Llama& llama = *model.mutable_llama();
  llama.set_hidden_size(576);
  llama.set_intermediate_size(1536);
  llama.set_num_layers(30);
  llama.set_num_heads(9);
  llama.set_num_kv_heads(3);
  llama.set_vocab_size(49152);
  llama.set_tie_embeddings(true);
  const DecoderShape shape = decoder_shape(model);
  const auto weights = [&](const char* method, config::Precision precision) {
    config::Train train;
    if (std::string(method) == "qlora") {
      train.mutable_method()->mutable_qlora()->set_rank(8);
    } else {
      train.mutable_method()->mutable_lora()->set_rank(8);
    }
    train.set_precision(precision);
    return planner::peak_memory(workload(train, shape, {}, 1), {}, {}).weights;
  };
  const double whole = weights("lora", config::PRECISION_F32);
  EXPECT_LT(weights("qlora", config::PRECISION_BF16), 0.25 * whole);
  EXPECT_GT(weights("qlora", config::PRECISION_F32), 0.3 * whole);
}

// Only the last matrix trains: no gradient goes through any other, nor through attention.
TEST(Accounting, ChosenTensorsCountWhatIsMultiplied) {
  config::ModelConfig model;
  config::Llama& llama = *model.mutable_llama();
  llama.set_hidden_size(8);
  llama.set_intermediate_size(16);
  llama.set_num_layers(2);
  llama.set_num_heads(2);
  llama.set_vocab_size(16);
  const ModelLayout layout(model);
  config::Method method;
  method.mutable_selective()->add_parameters("down_proj");
  method.mutable_selective()->add_layers(1);
  const auto parameters = static_cast<double>(layout.num_layer_parameters());
  EXPECT_DOUBLE_EQ(train_flops(layout, method, 0, 7, 3, 5),
                   2 * 7 * (parameters + 8 * 16) + 2 * 3 * 2 * 16 * 8 + 2 * 2 * 8 * 5);
  // Of both layers: every matrix of the second lets a gradient through.
  method.mutable_selective()->clear_layers();
  const double passed = parameters / 2;
  EXPECT_DOUBLE_EQ(
      train_flops(layout, method, 0, 7, 3, 5),
      2 * 7 * (parameters + 2 * 8 * 16 + passed) + 2 * 3 * 2 * 16 * 8 + (2 * 2 + 4) * 8 * 5);
  config::Method full;
  full.mutable_full();
  config::Method all;
  all.mutable_selective();
  EXPECT_DOUBLE_EQ(train_flops(layout, all, 0, 7, 3, 5), train_flops(layout, full, 0, 7, 3, 5));
}

// Whatever trains, and a teacher's passes besides.
TEST(Accounting, IsWhatWasPlanned) {
  config::ModelConfig model;
  config::Llama& llama = *model.mutable_llama();
  llama.set_hidden_size(8);
  llama.set_intermediate_size(16);
  llama.set_num_layers(2);
  llama.set_num_heads(2);
  llama.set_vocab_size(16);
  const ModelLayout layout(model);
  std::vector<config::Method> methods(8);
  methods[0].mutable_full();
  methods[1].mutable_lora()->set_rank(3);
  methods[2].mutable_lora()->set_init(config::LORA_INIT_PISSA);
  methods[3].mutable_vera()->set_rank(5);
  methods[3].mutable_vera()->add_target_modules("q_proj");
  methods[3].mutable_vera()->add_target_modules("v_proj");
  methods[3].mutable_vera()->add_target_modules("down_proj");
  methods[4].mutable_bottleneck()->set_width(3);
  methods[5].mutable_prompt_tuning()->set_num_virtual_tokens(4);
  methods[6].mutable_prefix_tuning()->set_num_virtual_tokens(4);
  methods[7].mutable_prefix_tuning()->set_prefix_projection(true);
  for (const config::Method& method : methods) {
    config::Train train;
    *train.mutable_method() = method;
    train.mutable_objective()->mutable_distill();
    planner::BatchShape batch;
    batch.tokens = 7;
    batch.context = 5.0 / 7;
    batch.label_fraction = 3.0 / 7;
    const planner::Workload w = workload(train, layout.shape(), batch, 1);
    const std::int64_t adapters = w.method.trains_base ? 0 : w.method.trained(w.model);
    EXPECT_NEAR(
        train_flops(layout, method, adapters, 7, 3, 5) + forward_flops(layout.shape(), 7, 3, 5),
        planner::useful_flops(w), 1e-6)
        << method.ShortDebugString();
  }
  // One layer of VeRA by hand: x A^T of q and v is one product of 8 columns, that of down_proj has
  // 16; outputs 3 times 8. Twice all of it, once more the outputs: 2 (8 + 16 + 16 + 8) + 24,
  // rank 5.
  const planner::MethodShape vera = method_shape(methods[3], layout.shape());
  EXPECT_EQ(vera.products(model_shape(layout.shape())), 5 * (2 * (8 + 16 + 16 + 8) + 24));
}

}  // namespace
}  // namespace finescale
