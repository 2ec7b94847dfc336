// SPDX-License-Identifier: Apache-2.0
// Matrices whose values are bf16's generate from that alone: the same bits, half the memory. Those
// that would lose a bit stay as they are.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/round.h"
#include "tests/worker/decoded_logits.h"
#include "tests/worker/kind_fixture.h"
#include "worker/base_model.h"
#include "worker/eval/generate.h"
#include "worker/measured_model.h"
#include "worker/model/initialize.h"
#include "worker/single_engine.h"

namespace finescale {
namespace {

using kind_test::small_model;

constexpr const char* kInexact = "model.layers.2.mlp.down_proj.weight";

BaseForm in_bf16() {
  return {.is_bf16 = [](const std::string& tensor) { return tensor != kInexact; }};
}

// Every tensor has values of bf16, but for one.
std::shared_ptr<BaseModel> model_of(const Engine& engine, const config::ModelConfig& config,
                                    const BaseForm& form) {
  auto model = std::make_shared<BaseModel>(make_base_model(engine, config, DType::kF32, form));
  fill_base(*model, [](BasePiece& piece, int index) {
    const LogicalTensor& tensor = piece.weights.tensor(index);
    fill_tensor(piece, index, [&](const LocalPart& slab, const TensorView& values) {
      initialize_tensor(piece.layout.shape(), 1, tensor, slab, values);
      if (tensor.name != kInexact) {
        round_to_bf16(Stream(), values, values);
      }
    });
  });
  return model;
}

class ExactWeights : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static config::ModelConfig config() {
    config::ModelConfig config = small_model(std::string(GetParam()) == "gpt2");
    if (std::string(GetParam()) == "tied") {
      config.mutable_llama()->set_tie_embeddings(true);
    }
    return config;
  }
  SingleEngine single_;
};

TEST_P(ExactWeights, HaveTheBitsOfTheirValues) {
  MeasuredModel values(single_.engine(), {model_of(single_.engine(), config(), {}), {}});
  MeasuredModel halves(single_.engine(), {model_of(single_.engine(), config(), in_bf16()), {}});
  const Transformer& model = *halves.eval().pieces().front().model;
  EXPECT_EQ(model.layer(0).down.factor().dtype, DType::kBf16);
  EXPECT_EQ(model.head().factor().dtype, DType::kBf16);
  EXPECT_EQ(model.embedding().factor().dtype, DType::kBf16);
  for (const int rows : {1, 5, 7, 40}) {
    const std::vector<float> wanted = decoded_logits(*values.eval().pieces().front().model, rows);
    EXPECT_TRUE(decoded_logits(model, rows) == wanted) << rows << " rows";
    EXPECT_GT(*std::max_element(wanted.begin(), wanted.end()), 0);
  }
  const std::vector<std::vector<std::int32_t>> prompts = {{1, 2, 3}, {30}, {7, 7, 8, 9}};
  EXPECT_EQ(Generator(halves.eval()).greedy(prompts, 20, -1),
            Generator(values.eval()).greedy(prompts, 20, -1));
}

TEST_P(ExactWeights, AreThereOnce) {
  const auto base = model_of(single_.engine(), config(), in_bf16());
  const BasePiece& piece = *base->pieces.front();
  const std::int64_t all = num_parameters(config());
  const std::int64_t stored = piece.weights.num_elements();
  EXPECT_LT(stored, all / 4) << "one matrix, norms and biases";
  EXPECT_EQ(piece.rounded->size_bytes(), 2 * static_cast<std::size_t>(all - stored));
  const int inexact = piece.weights.find(kInexact);
  EXPECT_TRUE(piece.weights.is_stored(inexact) && piece.rounded->find(inexact).empty());
}

INSTANTIATE_TEST_SUITE_P(Models, ExactWeights, testing::Values("llama", "tied", "gpt2"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace finescale
