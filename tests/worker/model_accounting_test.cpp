// SPDX-License-Identifier: Apache-2.0
#include "worker/accounting.h"

#include <algorithm>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace finescale
