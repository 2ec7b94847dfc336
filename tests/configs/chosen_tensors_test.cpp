// SPDX-License-Identifier: Apache-2.0
#include "configs/chosen_tensors.h"

#include <gtest/gtest.h>

namespace finescale {
namespace {

constexpr std::int64_t kWidth = 8;
constexpr std::int64_t kInner = 16;
constexpr std::int64_t kSquare = kWidth * kWidth;
constexpr std::int64_t kRectangle = kWidth * kInner;

DecoderShape small(bool biased = false) {
  config::ModelConfig config;
  const auto size = [](auto& model) {
    model.set_vocab_size(32);
    model.set_hidden_size(static_cast<int>(kWidth));
    model.set_num_layers(3);
    model.set_num_heads(2);
    model.set_intermediate_size(static_cast<int>(kInner));
  };
  if (biased) {
    size(*config.mutable_gpt2());
  } else {
    size(*config.mutable_llama());
    config.mutable_llama()->set_num_kv_heads(2);
    config.mutable_llama()->set_tie_embeddings(false);
  }
  return decoder_shape(config);
}

BackwardWork work_of(const std::vector<std::string>& patterns,
                     const std::vector<int>& layers = {}) {
  const DecoderShape model = small();
  return backward_work(model, chosen_tensors(model, {patterns, layers}));
}

TEST(ChosenTensors, APatternStandsForANameOrSomeOfItsParts) {
  const std::string name = "model.layers.3.self_attn.q_proj.weight";
  for (const char* pattern :
       {"q_proj", "q_proj.weight", "self_attn", "layers.3", "model.layers.3.*", "*.q_proj.weight",
        "*", "q_*", "*attn.*_proj", "weight"}) {
    EXPECT_TRUE(matches(pattern, name)) << pattern;
  }
  for (const char* pattern : {"q_pro", "proj", "layers", "v_proj", "layers.3.q_proj", "bias", ""}) {
    EXPECT_EQ(matches(pattern, name), std::string(pattern) == "layers") << pattern;
  }
  EXPECT_EQ(layer_of(name), 3);
  EXPECT_EQ(layer_of("model.layers.12.mlp.up_proj.bias"), 12);
  EXPECT_EQ(layer_of("model.norm.weight"), -1);
}

TEST(ChosenTensors, LayersLeaveOutWhatLiesOutsideOfThem) {
  EXPECT_EQ(chosen_tensors(small(), {{}, {}}).size(), 3U * 9 + 3);
  EXPECT_EQ(chosen_tensors(small(), {{}, {0, 2}}).size(), 2U * 9);
  EXPECT_EQ(chosen_tensors(small(), {{"model.norm"}, {0}}).size(), 0U);
  EXPECT_EQ(chosen_tensors(small(), {{"bias"}, {}}).size(), 0U);
  EXPECT_EQ(chosen_tensors(small(true), {{"bias"}, {}}).size(), 3U * 8 + 1);
}

TEST(ChosenTensors, TheNearestTensorIsFoundByItsParts) {
  EXPECT_EQ(nearest_tensor(small(), "q_prj"), "model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(nearest_tensor(small(), "*.mlp.dwn_proj.*"), "model.layers.0.mlp.down_proj.weight");
  EXPECT_EQ(nearest_tensor(small(), "lmhead"), "lm_head.weight");
  EXPECT_EQ(nearest_tensor(small(), "xyzxyzxyz"), "");
}

// By hand: what is multiplied behind the first tensor that trains.
TEST(ChosenTensors, WorkIsThatOfWhatTrainsAndOfWhatLiesAboveIt) {
  const BackwardWork all = work_of({});
  EXPECT_EQ(all.inputs, 3 * (4 * kSquare + 3 * kRectangle));
  EXPECT_EQ(all.weights, all.inputs);
  EXPECT_EQ(all.attention, 3);
  EXPECT_TRUE(all.head_inputs && all.head_weights);
  EXPECT_EQ(all.first_layer, 0);

  const BackwardWork upper = work_of({"v_proj"}, {1});  // o and the feed-forward layer, layer 2
  EXPECT_EQ(upper.weights, kSquare);
  EXPECT_EQ(upper.inputs, kSquare + 3 * kRectangle + 4 * kSquare + 3 * kRectangle);
  EXPECT_EQ(upper.attention, 2);
  EXPECT_EQ(upper.first_layer, 1);
  EXPECT_TRUE(upper.head_inputs && !upper.head_weights);

  const BackwardWork last = work_of({"down_proj"}, {2});
  EXPECT_EQ(last.weights, kRectangle);
  EXPECT_EQ(last.inputs, 0);
  EXPECT_EQ(last.attention, 0);

  const BackwardWork head = work_of({"lm_head"});
  EXPECT_EQ(head.inputs + head.weights, 0);
  EXPECT_EQ(head.first_layer, 3);
  EXPECT_TRUE(head.head_weights && !head.head_inputs);
}

}  // namespace
}  // namespace finescale
