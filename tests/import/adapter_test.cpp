// SPDX-License-Identifier: Apache-2.0
// Adapters in PEFT's layout: what they do to weights, and what is refused.
#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "checkpoint/formats/safetensors.h"
#include "core/error.h"
#include "tests/checkpoint/safetensors_fixture.h"
#include "tests/import/hf_fixture.h"
#include "worker/import/open_model.h"
#include "worker/import/peft.h"
#include "worker/import/peft_config.h"

namespace finescale {
namespace {

constexpr const char* kModule = "model.layers.1.self_attn.q_proj";

// A small number that depends on where it stands.
double made_up(std::int64_t i, int salt) {
  return std::sin(static_cast<double>(i * 7 + salt * 31 + 1));
}

TensorToWrite made_up_tensor(const std::string& name, const Shape& shape, int salt) {
  return {name, shape, [salt](std::int64_t begin, std::int64_t end, const TensorView& out) {
            for (std::int64_t i = begin; i < end; ++i) {
              out.as<float>()[i - begin] = static_cast<float>(made_up(i, salt));
            }
          }};
}

double stored(std::int64_t i, int salt) {
  return static_cast<float>(made_up(i, salt));
}

class PeftAdapter : public FilesTest {
 protected:
  // Rank 2 on q_proj of the second layer: [32, 32].
  void write_adapter(const nlohmann::json& more, const std::vector<TensorToWrite>& tensors) const {
    nlohmann::json json = {{"peft_type", "LORA"},
                           {"r", 2},
                           {"lora_alpha", 8},
                           {"bias", "none"},
                           {"base_model_name_or_path", directory_},
                           {"unknown_key", {1, 2}}};
    json.update(more);
    write_file_atomically(directory_ + "/adapter_config.json", json.dump());
    write_safetensors(directory_ + "/adapter_model.safetensors", tensors, StoredType::kF32);
  }
  static std::vector<TensorToWrite> low_rank(const std::string& module = kModule) {
    return {made_up_tensor("base_model.model." + module + ".lora_A.weight", Shape{2, 32}, 1),
            made_up_tensor("base_model.model." + module + ".lora_B.weight", Shape{32, 2}, 2)};
  }
  static double delta(std::int64_t row, std::int64_t column) {
    return stored(row * 2, 2) * stored(column, 1) + stored(row * 2 + 1, 2) * stored(32 + column, 1);
  }
  static std::vector<float> merged(const Adapter& adapter, const std::string& tensor,
                                   const LocalPart& slab) {
    const auto source = with_adapter(std::make_unique<MadeUpWeights>(tiny_llama(true)), adapter);
    std::vector<float> values(static_cast<std::size_t>(slab.shape.num_elements()));
    source->read(tensor, slab, TensorView(values.data(), DType::kF32, Shape{std::ssize(values)}));
    return values;
  }
  void expect_refused(const nlohmann::json& more, const std::vector<TensorToWrite>& tensors,
                      const std::string& words) const {
    write_adapter(more, tensors);
    try {
      (void)read_peft(directory_, tiny_llama(true));
      ADD_FAILURE() << "accepted: " << more.dump();
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 2);
      EXPECT_NE(error.message().find(words), std::string::npos) << describe(error);
    }
  }
};

TEST_F(PeftAdapter, LoraAddsItsProduct) {
  const MadeUpWeights base(tiny_llama(true));
  const LocalPart slab{Shape{3, 5}, Shape{2, 4}};
  const std::string tensor = std::string(kModule) + ".weight";
  const std::vector<std::pair<nlohmann::json, double>> scales = {
      {nlohmann::json::object(), 4},
      {{{"use_rslora", true}}, 8 / std::sqrt(2.0)},
      {{{"alpha_pattern", {{"q_proj", 6}}}}, 3},
      {{{"alpha_pattern", {{"k_proj", 6}}}}, 4},
      {{{"r", 16}, {"rank_pattern", {{"self_attn.q_proj", 2}}}}, 4}};
  for (const auto& [more, scale] : scales) {
    write_adapter(more, low_rank());
    const Adapter adapter = read_peft(directory_, tiny_llama(true));
    ASSERT_EQ(adapter.modules.size(), 1U);
    const std::vector<float> values = merged(adapter, tensor, slab);
    EXPECT_NEAR(values[6], base.value(tensor, 4, 7) + scale * delta(4, 7), 1e-6) << more.dump();
  }
}

TEST_F(PeftAdapter, DoraGivesRowsTheirLength) {
  std::vector<TensorToWrite> tensors = low_rank();
  tensors.push_back(made_up_tensor(
      std::string("base_model.model.") + kModule + ".lora_magnitude_vector", Shape{32}, 3));
  write_adapter({{"use_dora", true}}, tensors);
  const Adapter adapter = read_peft(directory_, tiny_llama(true));
  const std::string tensor = std::string(kModule) + ".weight";
  const std::vector<float> row = merged(adapter, tensor, {Shape{9, 0}, Shape{1, 32}});
  double squares = 0;
  for (const float value : row) {
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(std::sqrt(squares), std::abs(stored(9, 3)), 1e-6);
  // A part of the row is the same numbers: the length is that of the whole.
  EXPECT_EQ(merged(adapter, tensor, {Shape{9, 4}, Shape{1, 1}})[0], row[4]);
}

TEST_F(PeftAdapter, Ia3ScalesOutputsOrInputs) {
  const std::string down = "model.layers.0.mlp.down_proj";
  write_adapter(
      {{"peft_type", "IA3"}},
      {made_up_tensor(std::string("base_model.model.") + kModule + ".ia3_l", Shape{32, 1}, 1),
       made_up_tensor("base_model.model." + down + ".ia3_l", Shape{1, 48}, 2)});
  const Adapter adapter = read_peft(directory_, tiny_llama(true));
  const MadeUpWeights base(tiny_llama(true));
  const std::string q = std::string(kModule) + ".weight";
  EXPECT_FLOAT_EQ(merged(adapter, q, {Shape{3, 5}, Shape{1, 1}})[0],
                  static_cast<float>(base.value(q, 3, 5) * stored(3, 1)));
  EXPECT_FLOAT_EQ(merged(adapter, down + ".weight", {Shape{3, 5}, Shape{1, 1}})[0],
                  static_cast<float>(base.value(down + ".weight", 3, 5) * stored(5, 2)));
}

TEST_F(PeftAdapter, IsReadAsItWasWritten) {
  write_adapter(nlohmann::json::object(), low_rank());
  const Adapter adapter = read_peft(directory_, tiny_llama(true));
  make_directories(directory_ + "/again");
  write_peft(adapter, tiny_llama(true), "/base", directory_ + "/again");
  EXPECT_EQ(read_file(directory_ + "/adapter_model.safetensors"),
            read_file(directory_ + "/again/adapter_model.safetensors"));
  const auto json = nlohmann::json::parse(read_file(directory_ + "/again/adapter_config.json"));
  EXPECT_EQ(json["lora_alpha"], 8);
  EXPECT_EQ(json["target_modules"], nlohmann::json::array({"q_proj"}));
  EXPECT_EQ(json["base_model_name_or_path"], "/base");
}

TEST_F(PeftAdapter, DoraAndIa3AreReadAsTheyWereWritten) {
  const std::string stem = std::string("base_model.model.") + kModule;
  const std::string down = "base_model.model.model.layers.0.mlp.down_proj";
  std::vector<TensorToWrite> dora = low_rank();
  dora.push_back(made_up_tensor(stem + ".lora_magnitude_vector", Shape{32}, 3));
  const std::vector<std::pair<nlohmann::json, std::vector<TensorToWrite>>> cases = {
      {{{"use_dora", true}}, dora},
      {{{"peft_type", "IA3"}},
       {made_up_tensor(down + ".ia3_l", Shape{1, 48}, 2),
        made_up_tensor(stem + ".ia3_l", Shape{32, 1}, 1)}}};
  for (const auto& [more, tensors] : cases) {
    write_adapter(more, tensors);
    const Adapter adapter = read_peft(directory_, tiny_llama(true));
    const std::string again = directory_ + "/again";
    std::filesystem::remove_all(again);
    make_directories(again);
    write_peft(adapter, tiny_llama(true), "", again);
    const auto json = nlohmann::json::parse(read_file(again + "/adapter_config.json"));
    for (const auto& [key, value] : more.items()) {
      EXPECT_EQ(json[key], value);
    }
    const Adapter back = read_peft(again, tiny_llama(true));
    ASSERT_EQ(back.modules.size(), adapter.modules.size());
    for (const auto& [module, change] : adapter.modules) {
      const ModuleChange& other = back.modules.at(module);
      EXPECT_EQ(other.a, change.a);
      EXPECT_EQ(other.b, change.b);
      EXPECT_EQ(other.magnitude, change.magnitude);
      EXPECT_EQ(other.outputs, change.outputs);
      EXPECT_EQ(other.inputs, change.inputs);
      EXPECT_EQ(other.scale, change.scale);
    }
  }
}

// vera_A is [2, 48], vera_B [40, 2]: larger than q_proj, which takes their beginnings.
TEST_F(PeftAdapter, VeraScalesRandomMatricesAndIsReadAsItWasWritten) {
  const std::string stem = std::string("base_model.model.") + kModule;
  write_adapter({{"peft_type", "VERA"}, {"save_projection", true}},
                {made_up_tensor("base_model.vera_A", Shape{2, 48}, 1),
                 made_up_tensor("base_model.vera_B", Shape{40, 2}, 2),
                 made_up_tensor(stem + ".vera_lambda_b", Shape{32}, 3),
                 made_up_tensor(stem + ".vera_lambda_d", Shape{2}, 4)});
  const Adapter adapter = read_peft(directory_, tiny_llama(true));
  const MadeUpWeights base(tiny_llama(true));
  const std::string q = std::string(kModule) + ".weight";
  const double change = stored(3, 3) * (stored(6, 2) * stored(0, 4) * stored(5, 1) +
                                        stored(7, 2) * stored(1, 4) * stored(48 + 5, 1));
  EXPECT_NEAR(merged(adapter, q, {Shape{3, 5}, Shape{1, 1}})[0], base.value(q, 3, 5) + change,
              1e-6);
  make_directories(directory_ + "/again");
  write_peft(adapter, tiny_llama(true), "", directory_ + "/again");
  EXPECT_EQ(read_file(directory_ + "/adapter_model.safetensors"),
            read_file(directory_ + "/again/adapter_model.safetensors"));
  expect_refused({{"peft_type", "VERA"}, {"save_projection", false}}, low_rank(),
                 "save_projection");
}

TEST_F(PeftAdapter, RefusesWhatItCannotHonour) {
  const auto tensors = low_rank();
  for (const char* key : {"modules_to_save", "trainable_token_indices", "layer_replication",
                          "target_parameters", "alora_invocation_tokens"}) {
    expect_refused({{key, {1}}}, tensors, key);
  }
  expect_refused({{"lora_bias", true}}, tensors, "lora_bias");
  expect_refused({{"bias", "all"}}, tensors, "bias");
  expect_refused({{"init_lora_weights", "pissa"}}, tensors, "init_lora_weights");
  expect_refused({{"peft_type", "P_TUNING"}}, tensors, "P_TUNING");
  expect_refused({{"peft_type", "PROMPT_TUNING"}}, tensors, "prompt_embeddings is missing");
  expect_refused({{"peft_type", "PROMPT_TUNING"}},
                 {made_up_tensor("prompt_embeddings", {3, 31}, 1)},
                 "is [3, 31], must have 32 columns");
  expect_refused({{"peft_type", "PREFIX_TUNING"}, {"num_transformer_submodules", 2}}, tensors,
                 "num_transformer_submodules");
  expect_refused({{"rank_pattern", {{"^model.*q_proj", 2}}}}, tensors, "rank_pattern");
  expect_refused({{"r", "two"}}, tensors, "r must be");
  expect_refused({{"r", 4}}, tensors, "must be [4, 32]");
  expect_refused({{"use_dora", true}}, tensors, "lora_magnitude_vector is missing");
  expect_refused(nlohmann::json::object(), {tensors[0]}, "lora_B.weight is missing");
  expect_refused(nlohmann::json::object(), {}, "no tensor");
  expect_refused(nlohmann::json::object(), low_rank("model.layers.7.self_attn.q_proj"),
                 "changes no matrix");
  expect_refused(nlohmann::json::object(), low_rank("lm_head"),
                 "changes no matrix");  // tied: it is the embedding
}

TEST_F(PeftAdapter, VirtualTokensAreNoChangeOfWeights) {
  write_adapter({{"peft_type", "PROMPT_TUNING"}},
                {made_up_tensor("prompt_embeddings", {3, 32}, 1)});
  const Adapter adapter = read_peft(directory_, tiny_llama(true));
  EXPECT_EQ(adapter.method.prompt_tuning().num_virtual_tokens(), 3);
  EXPECT_EQ(adapter.apart.at("model.embed_prompt/E").values.at(33), stored(33, 1));
  try {
    (void)with_adapter(std::make_unique<MadeUpWeights>(tiny_llama(true)), adapter);
    FAIL() << "merged";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("cannot be merged"), std::string::npos);
  }
}

TEST_F(PeftAdapter, FindsTheBaseThatItNames) {
  write_adapter(nlohmann::json::object(), low_rank());
  EXPECT_EQ(peft_base(directory_), std::filesystem::canonical(directory_));
  write_adapter({{"base_model_name_or_path", "somebody/model"}}, low_rank());
  EXPECT_THROW((void)peft_base(directory_), Error);
}

}  // namespace
}  // namespace finescale
