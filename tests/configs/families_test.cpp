// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/decoder.h"
#include "configs/tensor_names.h"
#include "core/error.h"

namespace finescale {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

config::ModelConfig from(const std::string& text) {
  return model_config_from_json(json::parse(text), "config.json");
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.where() + ": " + error.message() + " | " + error.hint();
  }
  return "no error";
}

constexpr const char* kLlama =
    R"({"model_type": "llama", "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 88, "rms_norm_eps": 1e-5)";

std::string llama(const std::string& more) {
  return std::string(kLlama) + more + "}";
}

TEST(ConfigJson, AbsentKeysMeanWhatTransformersTakes) {
  const DecoderShape s = decoder_shape(from(llama("")));
  EXPECT_EQ(s.num_kv_heads, 4);
  EXPECT_EQ(s.head_dim, 8);
  EXPECT_EQ(s.max_positions, 2048);
  EXPECT_FALSE(s.tied);
  EXPECT_DOUBLE_EQ(s.rope_theta, 10000);
  EXPECT_DOUBLE_EQ(s.norm_eps, 1e-5);
  EXPECT_EQ(decoder_shape(from(R"({"model_type": "gpt2", "vocab_size": 10, "n_embd": 8,
      "n_layer": 1, "n_head": 2, "n_inner": null})"))
                .intermediate_size,
            32);
}

TEST(ConfigJson, OldAndNewSpellingsOfRotaryPositions) {
  const std::string scaled =
      R"("rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 32)";
  const auto old_way = from(llama(R"(, "rope_theta": 5e5, "rope_scaling": {)" + scaled + "}"));
  const auto new_way = from(llama(R"(, "rope_parameters": {"rope_theta": 5e5, )" + scaled + "}"));
  EXPECT_EQ(canonical_text(old_way), canonical_text(new_way));
  const DecoderShape s = decoder_shape(new_way);
  EXPECT_EQ(s.rope.kind, RopeScaling::Kind::kLlama3);
  EXPECT_DOUBLE_EQ(s.rope_theta, 5e5);
  const std::vector<double> frequencies = inverse_frequencies(s);
  EXPECT_DOUBLE_EQ(frequencies[0], 1);                         // a wavelength of 2 pi is kept
  EXPECT_DOUBLE_EQ(frequencies[3], std::pow(5e5, -0.75) / 4);  // a long one is divided
}

TEST(ConfigJson, RefusesWhatWouldChangeTheResult) {
  const auto refused = [](const std::string& text) { return error_of([&] { from(text); }); };
  EXPECT_THAT(refused(llama(R"(, "rope_scaling": {"type": "yarn", "factor": 2})")),
              HasSubstr(R"(config.json: rope_scaling.type is "yarn", which is not supported)"));
  EXPECT_THAT(refused(llama(R"(, "hidden_act": "relu")")), HasSubstr(R"(hidden_act is "relu")"));
  EXPECT_THAT(refused(llama(R"(, "quantization_config": {"bits": 4})")),
              HasSubstr("quantization_config"));
  EXPECT_THAT(refused(llama(R"(, "head_dim": 7)")), HasSubstr("head_dim is 7, must be even"));
  EXPECT_THAT(refused(llama(R"(, "num_key_value_heads": 3)")),
              HasSubstr("num_heads is 4, must be a multiple of num_kv_heads (3)"));
  EXPECT_THAT(refused(llama(R"(, "rms_norm_eps": "small")")), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(refused(R"({"model_type": "llama", "hidden_size": 8})"),
              HasSubstr("vocab_size is missing"));
  EXPECT_THAT(refused(R"({"model_type": "llama", "vocab_size": 1e30})"), HasSubstr("vocab_size"));
  EXPECT_THAT(refused(R"({"model_type": "llama", "vocab_size": -3})"),
              HasSubstr("must be a whole"));
  EXPECT_THAT(refused(R"({"model_type": "t5"})"), HasSubstr("supported: llama, mistral"));
  EXPECT_THAT(refused(R"([])"), HasSubstr("not a JSON object"));
  EXPECT_EQ(
      refused(llama(
          R"(, "use_cache": true, "torch_dtype": "bfloat16", "new_key": {}, "rope_scaling": null)")),
      "no error");
}

// Every family, small, with its knobs away from their defaults.
const std::vector<std::string>& family_files() {
  static const std::string kSizes =
      R"("vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 24, "max_position_embeddings": 32)";
  static const std::vector<std::string> kFiles = {
      R"({"model_type": "llama", "attention_bias": true, "mlp_bias": true, "head_dim": 8,
          "rope_scaling": {"rope_type": "linear", "factor": 2}, )" +
          kSizes + "}",
      R"({"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 5, )" + kSizes + "}",
      R"({"model_type": "qwen2", "num_key_value_heads": 2, "use_sliding_window": true,
          "sliding_window": 3, "max_window_layers": 1, "tie_word_embeddings": true, )" +
          kSizes + "}",
      R"({"model_type": "qwen3", "head_dim": 8, "attention_bias": true, )" + kSizes + "}",
      R"({"model_type": "gemma", "head_dim": 8, "num_key_value_heads": 1, )" + kSizes + "}",
      R"({"model_type": "gpt2", "vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 4,
          "n_positions": 32})",
      R"({"model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 5000, )" + kSizes + "}",
      R"({"model_type": "phi", "partial_rotary_factor": 0.5, )" + kSizes + "}"};
  return kFiles;
}

TEST(ConfigJson, WrittenAndReadAgainIsTheSame) {
  for (const std::string& text : family_files()) {
    const config::ModelConfig first = from(text);
    const json written = model_config_to_json(first);
    const config::ModelConfig second = model_config_from_json(written, "written");
    EXPECT_EQ(canonical_text(first), canonical_text(second)) << text;
    EXPECT_EQ(written["model_type"], json::parse(text)["model_type"]);
  }
}

// Each family's rows of its files are taken exactly once by its logical tensors.
TEST(TensorNames, TensorsCoverTheFileWithoutOverlap) {
  for (const std::string& text : family_files()) {
    const config::ModelConfig config = from(text);
    for (const auto place : {hf_tensor, gguf_tensor}) {
      std::map<std::string, std::pair<std::int64_t, std::set<std::int64_t>>> files;
      for (const LogicalShape& tensor : logical_tensors(decoder_shape(config))) {
        const FileTensor file = place(config, tensor.name);
        auto& [rows, taken] = files[file.name];
        rows = file.file_rows;
        for (std::int64_t r = 0; r < tensor.rows; ++r) {
          const std::int64_t row = file.first_row + r / file.block * file.stride + r % file.block;
          EXPECT_TRUE(row < rows && taken.insert(row).second) << tensor.name << " row " << r;
        }
      }
      for (const auto& [name, file] : files) {
        EXPECT_EQ(static_cast<std::int64_t>(file.second.size()), file.first) << name;
      }
    }
  }
}

TEST(TensorNames, PackedAndTransposedProjections) {
  const config::ModelConfig gpt2 = from(family_files()[5]);
  const FileTensor key = hf_tensor(gpt2, "model.layers.1.self_attn.k_proj.weight");
  EXPECT_EQ(key.name, "transformer.h.1.attn.c_attn.weight");
  EXPECT_THAT(key.also, ElementsAre("h.1.attn.c_attn.weight"));
  EXPECT_TRUE(key.transposed);
  EXPECT_EQ(key.first_row, 16);
  EXPECT_FALSE(hf_tensor(gpt2, "model.layers.1.input_layernorm.weight").transposed);
  EXPECT_FALSE(hf_tensor(gpt2, "model.embed_tokens.weight").transposed);
  EXPECT_EQ(hf_tensor(gpt2, "model.embed_positions.weight").name, "transformer.wpe.weight");
  const config::ModelConfig neox = from(family_files()[6]);
  const FileTensor value = hf_tensor(neox, "model.layers.0.self_attn.v_proj.bias");
  EXPECT_EQ(value.name, "gpt_neox.layers.0.attention.query_key_value.bias");
  EXPECT_EQ(value.first_row, 8);  // third of the first head's three parts of 4 rows
  EXPECT_EQ(value.stride, 12);
  EXPECT_EQ(hf_tensor(neox, "lm_head.weight").name, "embed_out.weight");
  EXPECT_EQ(gguf_tensor(neox, "model.layers.0.self_attn.v_proj.bias").first_row, 32);
  const config::ModelConfig phi = from(family_files()[7]);
  EXPECT_EQ(hf_tensor(phi, "model.norm.bias").name, "model.final_layernorm.bias");
  EXPECT_EQ(hf_tensor(phi, "model.layers.1.mlp.up_proj.weight").name,
            "model.layers.1.mlp.fc1.weight");
}

TEST(TensorNames, GgufPermutesLlamaAndShiftsGemma) {
  const config::ModelConfig mistral = from(family_files()[1]);
  EXPECT_EQ(gguf_tensor(mistral, "model.layers.0.self_attn.q_proj.weight").rotary_heads, 4);
  EXPECT_EQ(gguf_tensor(mistral, "model.layers.0.self_attn.k_proj.weight").rotary_heads, 2);
  EXPECT_EQ(gguf_tensor(mistral, "model.layers.0.self_attn.v_proj.weight").rotary_heads, 0);
  const config::ModelConfig gemma = from(family_files()[4]);
  EXPECT_EQ(gguf_tensor(gemma, "model.norm.weight").name, "output_norm.weight");
  EXPECT_DOUBLE_EQ(gguf_tensor(gemma, "model.norm.weight").addend, -1);
  EXPECT_DOUBLE_EQ(hf_tensor(gemma, "model.norm.weight").addend, 0);
}

}  // namespace
}  // namespace finescale
