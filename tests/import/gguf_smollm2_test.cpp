// SPDX-License-Identifier: Apache-2.0
// A real model of 135 million weights from its GGUF file, against numbers that another
// implementation computed in double precision. The file is FINESCALE_SMOLLM2_GGUF, else
// .cache/finescale/SmolLM2-135M-Instruct.Q4_1.gguf of the home directory; the numbers lie beside
// the project. Skips without either.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <gtest/gtest.h>

#include "checkpoint/formats/gguf_writer.h"
#include "kernels/cross_entropy.h"
#include "tests/worker/greedy_answers.h"
#include "tests/worker/reference_model.h"
#include "worker/data/gguf_side_files.h"
#include "worker/data/gguf_tokenizer.h"
#include "worker/data/tokenizer.h"
#include "worker/export/gguf_model_file.h"
#include "worker/import/gguf_model.h"
#include "worker/import/weight_source.h"
#include "worker/model/transformer.h"

namespace finescale {
namespace {

std::string model_path() {
  if (const char* given = std::getenv("FINESCALE_SMOLLM2_GGUF")) {
    return given;
  }
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) +
         "/.cache/finescale/SmolLM2-135M-Instruct.Q4_1.gguf";
}

std::string reference_path() {
  return reference::directory("../smollm2/reference.json");
}

// Whole weights by name, as the engine holds them.
void read_weights(WeightSource& source, ModelLayout& layout, ParameterSet& weights) {
  layout.declare(weights);
  weights.allocate();
  for (int index = 0; index < weights.size(); ++index) {
    source.read(weights.tensor(index).name, weights.part(index), weights.view(index));
  }
}

class GgufSmollm2 : public testing::Test {
 protected:
  // Once: it takes half a second and half a gigabyte.
  static void SetUpTestSuite() {
    if (!std::filesystem::exists(model_path()) || !std::filesystem::exists(reference_path())) {
      return;
    }
    held() = std::make_unique<Held>();
  }
  static void TearDownTestSuite() { held().reset(); }

  void SetUp() override {
    if (held() == nullptr) {
      GTEST_SKIP() << "no model at " << model_path() << " or no numbers at " << reference_path();
    }
  }

  struct Held {
    Held()
        : numbers(reference::read_json(reference_path())),
          file(open_gguf(model_path())),
          config(model_config_from_gguf(*file)),
          layout(decoder_shape(config)) {
      const auto source = open_gguf_source(model_path());
      read_weights(*source, layout, weights);
      model = std::make_unique<Transformer>(layout, weights);
    }
    nlohmann::json numbers;
    std::unique_ptr<GgufFile> file;
    config::ModelConfig config;
    ModelLayout layout;
    ParameterSet weights{DType::kF32};
    std::unique_ptr<Transformer> model;
  };
  static std::unique_ptr<Held>& held() {
    static std::unique_ptr<Held> one;
    return one;
  }
};

TEST_F(GgufSmollm2, ConfigIsThatOfTheModel) {
  const config::Llama& llama = held()->config.llama();
  EXPECT_EQ(llama.num_layers(), 30);
  EXPECT_EQ(llama.head_dim(), 64);
  EXPECT_EQ(llama.rope_theta(), 100000);
  EXPECT_EQ(llama.rms_norm_eps(), 1e-5);
  EXPECT_TRUE(llama.tie_embeddings());
  EXPECT_EQ(held()->weights.num_elements(), 134515008);
  EXPECT_NE(chat_template_from_gguf(held()->file->metadata()).find("<|im_start|>"),
            std::string::npos);
  EXPECT_EQ(gguf_generation_config(held()->file->metadata()).at("eos_token_id"), 2);
}

void expect_values(const nlohmann::json& wanted, const TensorView& view, std::int64_t first) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(static_cast<double>(view.as<float>()[first + static_cast<std::int64_t>(i)]),
              wanted[i].get<double>());
  }
}

TEST_F(GgufSmollm2, WeightsAreTheReferences) {
  for (const nlohmann::json& wanted : held()->numbers.at("weights")) {
    const int index = held()->weights.find(wanted.at("name"));
    ASSERT_GE(index, 0);
    const TensorView view = held()->weights.view(index);
    double sum = 0;
    double magnitudes = 0;
    for (std::int64_t i = 0; i < view.num_elements(); ++i) {
      sum += static_cast<double>(view.as<float>()[i]);
      magnitudes += std::abs(static_cast<double>(view.as<float>()[i]));
    }
    const double expected = wanted.at("sum_abs");
    EXPECT_NEAR(magnitudes, expected, 1e-9 * expected) << wanted.at("name");
    EXPECT_NEAR(sum, wanted.at("sum").get<double>(), 1e-9 * expected) << wanted.at("name");
    expect_values(wanted.at("first8_row0"), view, 0);
    if (wanted.contains("first8_row1")) {
      expect_values(wanted.at("first8_row1"), view, view.cols());
      expect_values(wanted.at("last4_last_row"), view, view.num_elements() - 4);
    }
  }
}

TEST_F(GgufSmollm2, TokenIdsAreTheOriginals) {
  const Tokenizer tokenizer =
      Tokenizer::from_json(tokenizer_json_from_gguf(held()->file->metadata()), model_path());
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  for (const char* list : {"tokenizer_cases", "prompts"}) {
    for (const nlohmann::json& one : held()->numbers.at(list)) {
      const std::string text = one.at(one.contains("text") ? "text" : "prompt");
      EXPECT_EQ(tokenizer.encode(text), one.at("ids").get<std::vector<std::int32_t>>()) << text;
    }
  }
}

TEST_F(GgufSmollm2, TokenizerIsWrittenAsItWasRead) {
  const GgufMetadata& m = held()->file->metadata();
  GgufKeys keys;
  keys.add_text("general.architecture", "llama");
  add_tokenizer_keys(tokenizer_json_from_gguf(m), "t", 49152, read_gguf_special_tokens(m), keys);
  const std::string bytes = gguf_header_bytes(keys, {});
  const GgufHeader back = parse_gguf(bytes, "back");
  for (const char* key : {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    EXPECT_EQ(back.metadata.texts(key), m.texts(key));
  }
  EXPECT_EQ(back.metadata.integers("tokenizer.ggml.token_type"),
            m.integers("tokenizer.ggml.token_type"));
  EXPECT_EQ(back.metadata.text("tokenizer.ggml.pre"), "smollm");
  EXPECT_EQ(back.metadata.flag("tokenizer.ggml.add_bos_token"), false);
}

TEST_F(GgufSmollm2, LossesAreTheReferences) {
  double worst = 0;
  for (const nlohmann::json& one : held()->numbers.at("prompts")) {
    const auto ids = one.at("ids").get<std::vector<std::int32_t>>();
    MicroBatch batch;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      batch.tokens.push_back(ids[t]);
      batch.positions.push_back(static_cast<std::int32_t>(t));
      batch.labels.push_back(t + 1 < ids.size() ? ids[t + 1] : kIgnoreLabel);
    }
    batch.segments = {0, static_cast<std::int32_t>(ids.size())};
    batch.num_labels = static_cast<std::int64_t>(ids.size()) - 1;
    const double loss =
        held()->model->forward_loss(batch, 64) / static_cast<double>(batch.num_labels);
    const double wanted = one.at("mean_next_token_loss");
    EXPECT_NEAR(loss, wanted, 2e-5) << one.at("prompt");
    worst = std::max(worst, std::abs(loss - wanted));
  }
  RecordProperty("worst_difference", std::to_string(worst));
}

TEST_F(GgufSmollm2, GreedyTokensAreTheReferences) {
  std::vector<std::vector<std::int32_t>> prompts;
  for (const nlohmann::json& one : held()->numbers.at("prompts")) {
    prompts.push_back(one.at("ids"));
  }
  const auto group = make_single_group();
  const auto answers = greedy_answers(*group, *held()->model, prompts, 16);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const nlohmann::json& wanted = held()->numbers.at("prompts")[i].at("greedy_16_ids");
    EXPECT_EQ(answers[i], wanted.get<std::vector<std::int32_t>>()) << "prompt " << i;
  }
}

}  // namespace
}  // namespace finescale
