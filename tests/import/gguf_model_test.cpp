// SPDX-License-Identifier: Apache-2.0
#include "worker/import/gguf_model.h"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "checkpoint/formats/gguf_writer.h"
#include "configs/decoder.h"
#include "configs/tensor_names.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/export/gguf_model_file.h"
#include "worker/import/weight_source.h"
#include "worker/model/initialize.h"

namespace finescale {
namespace {

std::string fixture(const std::string& name) {
  return std::string(FINESCALE_SOURCE_DIR) + "/tests/import/" + name;
}

// Of a logical tensor, a pattern that no two elements of a model share.
float value_of(const std::string& name, std::int64_t i) {
  return std::sin(static_cast<float>(name_stream(name) % 1000) + static_cast<float>(i) * 0.01F);
}

class Pattern final : public WeightSource {
 public:
  explicit Pattern(config::ModelConfig config, bool equal_ends = false)
      : config_(std::move(config)), equal_ends_(equal_ends) {
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(config_))) {
      columns_[tensor.name] = std::max<std::int64_t>(1, tensor.columns);
    }
  }
  [[nodiscard]] const config::ModelConfig& config() const override { return config_; }
  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    const std::string source =
        equal_ends_ && name == "lm_head.weight" ? "model.embed_tokens.weight" : name;
    const std::int64_t width = slab.shape.rank > 1 ? slab.shape[1] : 1;
    for (std::int64_t row = 0; row < slab.shape[0]; ++row) {
      for (std::int64_t column = 0; column < width; ++column) {
        const std::int64_t at = (slab.offset[0] + row) * columns_.at(name) + column +
                                (slab.shape.rank > 1 ? slab.offset[1] : 0);
        out.as<float>()[row * width + column] = value_of(source, at);
      }
    }
  }

 private:
  config::ModelConfig config_;
  bool equal_ends_;  // the head has the embedding's values
  std::map<std::string, std::int64_t> columns_;
};

std::vector<float> read_whole(WeightSource& source, const LogicalShape& tensor) {
  const Shape shape = tensor.columns == 0 ? Shape{tensor.rows} : Shape{tensor.rows, tensor.columns};
  std::vector<float> out(static_cast<std::size_t>(shape.num_elements()));
  Shape begin;
  begin.rank = shape.rank;
  source.read(tensor.name, {begin, shape}, TensorView(out.data(), DType::kF32, shape));
  return out;
}

// A model of every family, small, with nothing at its default that may differ.
std::vector<config::ModelConfig> models() {
  std::vector<config::ModelConfig> all;
  const auto sized = [&](auto& m) {
    m.set_vocab_size(70);
    m.set_hidden_size(64);
    m.set_num_layers(2);
    m.set_num_heads(4);
    m.set_intermediate_size(96);
    m.set_max_positions(128);
  };
  const auto rotated = [&](auto& m) {
    sized(m);
    m.set_num_kv_heads(2);
    m.set_rope_theta(50000);
    m.set_rms_norm_eps(1e-5);
  };
  config::Llama& llama = *all.emplace_back().mutable_llama();
  rotated(llama);
  llama.set_head_dim(32);
  llama.set_tie_embeddings(false);
  llama.mutable_rope_scaling()->mutable_llama3()->set_factor(32);
  config::Llama& biased = *all.emplace_back().mutable_llama();
  rotated(biased);
  biased.set_attention_bias(true);
  biased.set_mlp_bias(true);
  biased.mutable_rope_scaling()->mutable_linear()->set_factor(2);
  config::Llama& factors = *all.emplace_back().mutable_llama();
  rotated(factors);
  for (const double factor : {1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0}) {
    factors.mutable_rope_scaling()->mutable_factors()->add_factors(factor);
  }
  rotated(*all.emplace_back().mutable_qwen2());
  config::Qwen3& qwen3 = *all.emplace_back().mutable_qwen3();
  rotated(qwen3);
  qwen3.set_head_dim(32);
  config::Gemma& gemma = *all.emplace_back().mutable_gemma();
  rotated(gemma);
  gemma.set_head_dim(24);
  sized(*all.emplace_back().mutable_gpt2());
  config::GptNeox& neox = *all.emplace_back().mutable_gpt_neox();
  sized(neox);
  neox.set_rotary_fraction(0.5);
  neox.set_parallel_residual(false);
  sized(*all.emplace_back().mutable_phi());
  return all;
}

class GgufModel : public testing::Test {
 protected:
  std::string root_ = testing::TempDir() + "finescale_gguf_model_" + std::to_string(::getpid());
  std::string path_ = root_ + "/m.gguf";
  void SetUp() override { make_directories(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const config::ModelConfig& config, GgufType type) const {
    Pattern weights(config);
    write_gguf_model(path_, {.config = config, .name = "small"}, type, weights);
  }
};

// Made by make_gguf_model.py with the converters' permutation and the reference's quantisers.
TEST_F(GgufModel, AFileOfAConverterIsReadToTheBit) {
  const auto source = open_gguf_source(fixture("gguf_llama.gguf"));
  const config::Llama& llama = source->config().llama();
  EXPECT_EQ(llama.vocab_size(), 48);
  EXPECT_EQ(llama.head_dim(), 16);
  EXPECT_EQ(llama.num_kv_heads(), 2);
  EXPECT_EQ(llama.rms_norm_eps(), 1e-5);
  EXPECT_EQ(llama.rope_theta(), 500000);
  EXPECT_EQ(llama.rope_scaling().llama3().factor(), 8);
  EXPECT_FALSE(llama.tie_embeddings());
  const GgufFile expected(fixture("gguf_llama_expected.gguf"));
  std::size_t count = 0;
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(source->config()))) {
    const FileTensorInfo* info = expected.find(tensor.name);
    ASSERT_NE(info, nullptr) << tensor.name;
    std::vector<float> values(static_cast<std::size_t>(info->shape.num_elements()));
    expected.read(*info, 0, info->shape.num_elements(),
                  TensorView(values.data(), DType::kF32, {info->shape.num_elements()}));
    const std::vector<float> got = read_whole(*source, tensor);
    ASSERT_EQ(got.size(), values.size());
    EXPECT_EQ(std::memcmp(got.data(), values.data(), 4 * got.size()), 0) << tensor.name;
    ++count;
  }
  EXPECT_EQ(count, expected.tensors().size());
}

TEST_F(GgufModel, EveryFamilyComesBackFromItsFile) {
  for (const config::ModelConfig& config : models()) {
    SCOPED_TRACE(config.ShortDebugString());
    write(config, GgufType::kF32);
    const auto source = open_gguf_source(path_);
    const DecoderShape before = decoder_shape(config);
    const DecoderShape after = decoder_shape(source->config());
    EXPECT_EQ(family_name(source->config()), family_name(config));
    EXPECT_EQ(after.norm_eps, before.norm_eps);
    EXPECT_EQ(after.rope_theta, before.rope_theta);
    EXPECT_EQ(after.rotary_dim, before.rotary_dim);
    EXPECT_EQ(after.rope.kind, before.rope.kind);
    EXPECT_EQ(after.rope.factors, before.rope.factors);
    EXPECT_EQ(after.rope.factor, before.rope.factor);
    EXPECT_EQ(after.max_positions, before.max_positions);
    EXPECT_EQ(after.tied, before.tied);
    EXPECT_EQ(after.parallel_residual, before.parallel_residual);
    const std::vector<LogicalShape> tensors = logical_tensors(before);
    ASSERT_EQ(logical_tensors(after).size(), tensors.size());
    for (const LogicalShape& tensor : tensors) {
      const std::vector<float> got = read_whole(*source, tensor);
      // Gemma's norms are stored plus 1: that rounds.
      const float allowed = gguf_tensor(config, tensor.name).addend == 0 ? 0 : 1e-7F;
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], value_of(tensor.name, static_cast<std::int64_t>(i)), allowed)
            << tensor.name << " " << i;
      }
    }
  }
}

TEST_F(GgufModel, SmallTypesStayClose) {
  const config::ModelConfig config = models().front();
  for (const auto& [type, allowed] :
       {std::pair(GgufType::kF16, 0x1p-11F), std::pair(GgufType::kQ80, 0.5F / 127 + 0x1p-11F)}) {
    write(config, type);
    const auto source = open_gguf_source(path_);
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(config))) {
      const std::vector<float> got = read_whole(*source, tensor);
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], value_of(tensor.name, static_cast<std::int64_t>(i)), allowed);
      }
    }
  }
}

TEST_F(GgufModel, AWindowBoundsTheContext) {
  config::ModelConfig config;
  config::Mistral& mistral = *config.mutable_mistral();
  mistral.set_vocab_size(70);
  mistral.set_hidden_size(64);
  mistral.set_max_positions(128);
  mistral.set_sliding_window(48);
  write(config, GgufType::kF32);
  const config::ModelConfig back = model_config_from_gguf(*open_gguf(path_));
  EXPECT_EQ(family_name(back), "llama");
  EXPECT_EQ(back.llama().max_positions(), 48);
}

TEST_F(GgufModel, AHeadEqualToTheEmbeddingIsTied) {
  config::ModelConfig config = models().front();
  config.mutable_llama()->set_tie_embeddings(false);
  Pattern weights(config, true);
  write_gguf_model(path_, {.config = config, .name = "small"}, GgufType::kQ80, weights);
  EXPECT_TRUE(model_config_from_gguf(*open_gguf(path_)).llama().tie_embeddings());
}

struct Fault {
  const char* name;
  std::function<void(GgufKeys&)> keys;
  std::function<void(std::vector<GgufSource>&)> tensors;
  const char* message;
};

GgufSource zeros(const std::string& name, Shape shape) {
  return {name, shape, GgufType::kF32,
          [](std::int64_t begin, std::int64_t end, const TensorView& out) {
            std::fill_n(out.as<float>(), end - begin, 0.0F);
          }};
}

// Keys of a llama of no layers' tensors but the embedding: faults of keys come first.
void add_sound_keys(GgufKeys& keys, const std::string& without) {
  const auto add = [&](const char* key, std::int64_t value) {
    if (without != key) {
      keys.add_count(std::string("llama.") + key, value);
    }
  };
  add("embedding_length", 32);
  add("block_count", 1);
  add("attention.head_count", 2);
  add("feed_forward_length", 64);
  add("context_length", 64);
  if (without != "attention.layer_norm_rms_epsilon") {
    keys.add_number("llama.attention.layer_norm_rms_epsilon", 1e-5);
  }
}

TEST_F(GgufModel, WhatCannotBeAModelIsRefused) {
  const auto sound = [](const std::string& without) {
    return [without](GgufKeys& keys) {
      keys.add_text("general.architecture", "llama");
      add_sound_keys(keys, without);
    };
  };
  const auto with = [&](const std::function<void(GgufKeys&)>& more,
                        const std::string& without = "") {
    return [=](GgufKeys& keys) {
      sound(without)(keys);
      more(keys);
    };
  };
  const auto embedding = [](std::vector<GgufSource>& t) {
    t.push_back(zeros("token_embd.weight", {16, 32}));
  };
  const std::vector<Fault> faults = {
      {"architecture", [](GgufKeys& k) { k.add_text("general.architecture", "mamba"); }, embedding,
       "architecture mamba is not supported"},
      {"no architecture", [](GgufKeys&) {}, embedding, "general.architecture is missing"},
      {"no width", sound("embedding_length"), embedding, "llama.embedding_length is missing"},
      {"no epsilon", sound("attention.layer_norm_rms_epsilon"), embedding, "epsilon is missing"},
      {"no embedding", sound(""), [](std::vector<GgufSource>&) {}, "no matrix token_embd.weight"},
      {"zero layers", with([](GgufKeys& k) { k.add_count("llama.block_count", 0); }, "block_count"),
       embedding, "must be at least 1"},
      {"text", with([](GgufKeys& k) { k.add_text("llama.block_count", "1"); }, "block_count"),
       embedding, "must be an integer"},
      {"per layer",
       with(
           [](GgufKeys& k) {
             k.add_integers("llama.feed_forward_length", {64, 96});
           },
           "feed_forward_length"),
       embedding, "layers of different sizes"},
      {"yarn", with([](GgufKeys& k) { k.add_text("llama.rope.scaling.type", "yarn"); }), embedding,
       "rotary scaling of type yarn"},
      {"theta", with([](GgufKeys& k) { k.add_number("llama.rope.freq_base", -1); }), embedding,
       "above 0"},
      {"expert", sound(""),
       [&](std::vector<GgufSource>& t) {
         embedding(t);
         t.push_back(zeros("blk.0.ffn_gate_exps.weight", {4, 32}));
       },
       "blk.0.ffn_gate_exps.weight has no place"},
      {"factors", sound(""),
       [&](std::vector<GgufSource>& t) {
         embedding(t);
         t.push_back(zeros("rope_freqs.weight", {8}));
       },
       "factors that are not above 0"},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.name);
    GgufKeys keys;
    fault.keys(keys);
    std::vector<GgufSource> tensors;
    fault.tensors(tensors);
    write_gguf(path_, keys, tensors);
    try {
      (void)model_config_from_gguf(*open_gguf(path_));
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 2);
      EXPECT_NE(error.message().find(fault.message), std::string::npos) << error.message();
      EXPECT_NE(error.where().find("m.gguf"), std::string::npos) << error.where();
    }
  }
}

}  // namespace
}  // namespace finescale
