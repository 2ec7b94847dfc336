// SPDX-License-Identifier: Apache-2.0
// Models in the files of other programs: what is read, what is refused, and round trips.
#include <gtest/gtest.h>

#include "checkpoint/formats/safetensors.h"
#include "core/error.h"
#include "tests/checkpoint/safetensors_fixture.h"
#include "tests/import/hf_fixture.h"
#include "tests/worker/decoded_logits.h"
#include "worker/export/export_model.h"
#include "worker/import/adapter.h"
#include "worker/import/open_model.h"
#include "worker/import/side_files.h"
#include "worker/measured_model.h"
#include "worker/single_engine.h"
#include "worker/tool/adapted_model.h"

namespace finescale {
namespace {

using Import = FilesTest;

// A message that names what is wrong, and an error of the user's input.
void expect_refused(const std::string& path, const std::string& words) {
  try {
    (void)open_model(path);
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2) << error.what();
    EXPECT_NE((error.where() + error.message() + error.hint()).find(words), std::string::npos)
        << describe(error);
  }
}

TEST_F(Import, ReadsWholeTensorsAndParts) {
  for (const bool tied : {true, false}) {
    const TinyModel model{tiny_llama(tied), StoredType::kF32, tied ? 1U << 30 : 20000U, 7};
    const std::string path = directory_ + (tied ? "/tied" : "/untied");
    model.write(path);
    EXPECT_EQ(std::filesystem::exists(path + "/model.safetensors.index.json"), !tied);
    OpenedModel opened = open_model(path);
    EXPECT_EQ(opened.config.llama().num_kv_heads(), 2);
    MadeUpWeights expected(model.config);
    EXPECT_EQ(difference(*opened.weights, expected), "");
    const std::string name = "model.layers.1.mlp.down_proj.weight";
    double values[6];
    opened.weights->read(name, {Shape{3, 5}, Shape{2, 3}},
                         TensorView(values, DType::kF64, Shape{6}));
    EXPECT_EQ(values[4], expected.value(name, 4, 6));
  }
}

std::vector<config::ModelConfig> families() {
  std::vector<config::ModelConfig> all(8);
  const auto set = [](auto& m) {
    m.set_vocab_size(40);
    m.set_hidden_size(32);
    m.set_num_layers(2);
    m.set_num_heads(4);
    m.set_intermediate_size(48);
  };
  all[0] = tiny_llama(false);
  set(*all[1].mutable_mistral());
  set(*all[2].mutable_qwen2());
  set(*all[3].mutable_qwen3());
  set(*all[4].mutable_gemma());
  set(*all[5].mutable_gpt2());
  set(*all[6].mutable_gpt_neox());
  set(*all[7].mutable_phi());
  return all;
}

TEST_F(Import, EveryFamilySurvivesItsFiles) {
  for (const config::ModelConfig& config : families()) {
    const std::string path = directory_ + "/" + family_name(config);
    const TinyModel model{config};
    model.write(path);
    OpenedModel opened = open_model(path);
    MadeUpWeights expected(config);
    EXPECT_EQ(difference(*opened.weights, expected), "") << family_name(config);
    // Another cut than whole tensors: odd rows, odd columns.
    const std::string name = "model.layers.1.self_attn.k_proj.weight";
    double values[15];
    opened.weights->read(name, {Shape{7, 2}, Shape{3, 5}},
                         TensorView(values, DType::kF64, Shape{15}));
    EXPECT_EQ(values[7], expected.value(name, 8, 4)) << family_name(config);
  }
}

TEST_F(Import, EachStoredTypeIsWidenedExactly) {
  const TinyModel model{tiny_llama(true), StoredType::kBf16};
  model.write(directory_ + "/bf16");
  OpenedModel opened = open_model(directory_ + "/bf16");
  export_model(opened, {ExportFormat::kHuggingFace, false, StoredType::kBf16, 1U << 30,
                        directory_ + "/again"});
  EXPECT_EQ(read_file(directory_ + "/bf16/model.safetensors"),
            read_file(directory_ + "/again/model.safetensors"));
  EXPECT_EQ(nlohmann::json::parse(read_file(directory_ + "/again/config.json"))["dtype"],
            "bfloat16");
}

TEST_F(Import, WhatIsStoredAsBf16GeneratesFromThatWithTheSameBits) {
  const SingleEngine single;
  for (const config::ModelConfig& config : families()) {
    SCOPED_TRACE(family_name(config));
    const std::string path = directory_ + "/" + family_name(config);
    TinyModel{config, StoredType::kBf16}.write(path);
    OpenedModel to_measure = open_model(path);
    OpenedModel to_generate = open_model(path);
    MeasuredModel values(single.engine(), adapted_model(single.engine(), to_measure));
    MeasuredModel halves(single.engine(),
                         adapted_model(single.engine(), to_generate, ModelUse::kGenerates));
    const Transformer& model = *halves.eval().pieces().front().model;
    for (const Weight* weight : {&model.layer(1).qkv, &model.layer(1).down, &model.head()}) {
      EXPECT_EQ(weight->factor().dtype, DType::kBf16);
    }
    const Transformer& wide = *values.eval().pieces().front().model;
    EXPECT_EQ(wide.head().factor().dtype, DType::kF32);
    EXPECT_TRUE(decoded_logits(model, 9) == decoded_logits(wide, 9));
  }
}

TEST_F(Import, AMergedMatrixIsNoLongerOfBf16) {
  TinyModel{tiny_llama(true), StoredType::kBf16}.write(directory_);
  OpenedModel opened = open_model(directory_);
  Adapter adapter;
  ModuleChange& change = adapter.modules["model.layers.1.self_attn.q_proj"];
  change.outputs.assign(32, 0.3);
  const auto merged = with_adapter(std::move(opened.weights), std::move(adapter));
  EXPECT_FALSE(merged->is_bf16("model.layers.1.self_attn.q_proj.weight"));
  EXPECT_TRUE(merged->is_bf16("model.layers.1.self_attn.k_proj.weight"));
  TinyModel{tiny_llama(true), StoredType::kF16}.write(directory_ + "/f16");
  EXPECT_FALSE(open_model(directory_ + "/f16").weights->is_bf16("model.norm.weight"));
}

TEST_F(Import, ExportOfAnImportIsBitEqual) {
  TinyModel().write(directory_ + "/model");
  write_file_atomically(directory_ + "/model/chat_template.jinja", "{{ messages }}");
  OpenedModel opened = open_model(directory_ + "/model");
  export_model(opened, {ExportFormat::kCheckpoint, true, StoredType::kF32, 1U << 30,
                        directory_ + "/checkpoint"});
  OpenedModel checkpoint = open_model(directory_ + "/checkpoint");
  export_model(checkpoint, {ExportFormat::kHuggingFace, false, StoredType::kF32, 1U << 30,
                            directory_ + "/again"});
  for (const char* file : {"/model.safetensors", "/tokenizer.json", "/chat_template.jinja"}) {
    EXPECT_EQ(read_file(directory_ + "/model" + file), read_file(directory_ + "/again" + file))
        << file;
  }
  OpenedModel again = open_model(directory_ + "/again");
  MadeUpWeights expected(tiny_llama(true));
  EXPECT_EQ(difference(*again.weights, expected), "");
}

TEST_F(Import, RefusesFilesThatAreNoModel) {
  expect_refused(directory_ + "/none", "does not exist");
  expect_refused(directory_, "config.json is missing");
  const std::string path = directory_ + "/model";
  TinyModel().write(path);
  const std::string config = read_file(path + "/config.json");
  const auto with = [&](const std::string& key, const nlohmann::json& value) {
    nlohmann::json json = nlohmann::json::parse(config);
    json[key] = value;
    write_file_atomically(path + "/config.json", json.dump());
  };
  with("num_hidden_layers", 3);
  expect_refused(path, "model.layers.2.");
  with("num_hidden_layers", 1);
  expect_refused(path, "is no weight of the model");
  with("intermediate_size", 64);
  expect_refused(path, "the config needs [64, 32]");
  with("model_type", "t5");
  expect_refused(path, "t5");
  write_file_atomically(path + "/config.json", "{");
  expect_refused(path, "not valid JSON");
  write_file_atomically(path + "/config.json", config);
  std::filesystem::remove(path + "/tokenizer.json");
  expect_refused(path, "tokenizer.json is missing");
  std::filesystem::remove(path + "/model.safetensors");
  write("model/pytorch_model.bin", "x");
  expect_refused(path, "save the model as safetensors");
}

TEST_F(Import, OverwritesNothingAndLeavesNothing) {
  TinyModel().write(directory_ + "/model");
  write("taken", "x");
  OpenedModel opened = open_model(directory_ + "/model");
  EXPECT_THROW(export_model(opened, {ExportFormat::kHuggingFace, false, StoredType::kF32, 1U << 30,
                                     directory_ + "/taken"}),
               Error);
  EXPECT_EQ(read_file(directory_ + "/taken"), "x");
  OpenedModel whole = open_model(directory_ + "/model");
  EXPECT_THROW(export_model(whole, {ExportFormat::kPeft, false, StoredType::kF32, 1U << 30,
                                    directory_ + "/peft"}),
               Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 2);
}

TEST_F(Import, TextsEndAsTheModelsFilesSay) {
  const std::string path = directory_ + "/model";
  TinyModel().write(path);
  EXPECT_EQ(open_model(path).rules.model_end_id(), 0);
  EXPECT_FALSE(open_model(path).rules.has_model_end());
  write("model/tokenizer_config.json", R"({"eos_token": {"content": "<|eos|>"}})");
  EXPECT_EQ(open_model(path).rules.model_end(), "<|eos|>");
  write("model/tokenizer_config.json", R"({"eos_token": "x"})");
  EXPECT_EQ(open_model(path).rules.model_end(), "x");
  write("model/tokenizer_config.json", "{}");
  write("model/generation_config.json", R"({"eos_token_id": [5, 6]})");
  EXPECT_EQ(open_model(path).rules.model_end_id(), 5);
}

TEST_F(Import, FindsWhatLiesBesideTheWeights) {
  write("config.json", R"({"eos_token_id": 3})");
  EXPECT_EQ(read_side_files(directory_).eos_ids, std::vector<std::int32_t>{3});
  write("generation_config.json", R"({"eos_token_id": [1, 2], "temperature": 0.6, "top_k": 20})");
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<s>"}, "eos_token": null,
            "chat_template": [{"name": "tool_use", "template": "a"},
                              {"name": "default", "template": "b"}]})");
  SideFiles files = read_side_files(directory_);
  EXPECT_EQ(files.eos_ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(files.temperature, 0.6);
  EXPECT_EQ(files.top_k, 20);
  EXPECT_FALSE(files.top_p);
  EXPECT_EQ(files.bos_token, "<s>");
  EXPECT_FALSE(files.eos_token);
  EXPECT_EQ(files.chat_template, "b");
  write("chat_template.jinja", "c");
  EXPECT_EQ(read_side_files(directory_).chat_template, "c");
  write("generation_config.json", "[");
  EXPECT_THROW((void)read_side_files(directory_), Error);
  EXPECT_FALSE(read_side_files("").chat_template);
}

}  // namespace
}  // namespace finescale
