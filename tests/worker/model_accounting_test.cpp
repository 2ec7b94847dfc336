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

}  // namespace
}  // namespace finescale
