// SPDX-License-Identifier: Apache-2.0
// Tiny models with made-up weights, as directories in the layout of other programs.
#pragma once

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/safetensors_writer.h"
#include "configs/decoder.h"
#include "core/files.h"
#include "core/random.h"
#include "worker/data/tokenizer.h"
#include "worker/export/hf_files.h"
#include "worker/import/weight_source.h"
#include "worker/model/initialize.h"

namespace finescale {

// Every element is a function of its tensor's name and its place: any part can be checked alone.
class MadeUpWeights final : public WeightSource {
 public:
  explicit MadeUpWeights(config::ModelConfig config, std::uint64_t seed = 7)
      : config_(std::move(config)), seed_(seed) {
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(config_))) {
      columns_[tensor.name] = tensor.columns;
    }
  }
  [[nodiscard]] const config::ModelConfig& config() const override { return config_; }

  [[nodiscard]] float value(const std::string& name, std::int64_t row, std::int64_t column) const {
    const std::int64_t columns = std::max<std::int64_t>(1, columns_.at(name));
    const auto words =
        philox(seed_, Purpose::kTest, static_cast<std::uint64_t>(row * columns + column),
               name_stream(name));
    const double uniform = static_cast<double>(words[0]) * 0x1.0p-32;
    const bool is_norm = name.find("norm.weight") != std::string::npos;
    return static_cast<float>(is_norm ? 0.8 + 0.4 * uniform : uniform - 0.5);
  }

  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    const std::int64_t width = slab.shape.rank > 1 ? slab.shape[1] : 1;
    for (std::int64_t i = 0; i < slab.shape.num_elements(); ++i) {
      const std::int64_t column = slab.shape.rank > 1 ? slab.offset[1] + i % width : 0;
      const float v = value(name, slab.offset[0] + i / width, column);
      out.dtype == DType::kF64 ? out.as<double>()[i] = v : out.as<float>()[i] = v;
    }
  }

 private:
  config::ModelConfig config_;
  std::uint64_t seed_;
  std::map<std::string, std::int64_t> columns_;
};

inline config::ModelConfig tiny_llama(bool tied) {
  config::ModelConfig config;
  config::Llama& llama = *config.mutable_llama();
  llama.set_vocab_size(272);
  llama.set_hidden_size(32);
  llama.set_num_layers(2);
  llama.set_num_heads(4);
  llama.set_num_kv_heads(2);
  llama.set_intermediate_size(48);
  llama.set_max_positions(64);
  llama.set_tie_embeddings(tied);
  return config;
}

// <|eos|> is token 0, then the bytes, then a few merges.
inline std::string tiny_tokenizer() {
  const std::vector<std::string> texts = {"abab baba abba", "gabe dabei aha haha", "fed bead cafe"};
  return Tokenizer::train(texts, 270, {"<|eos|>"}).to_json();
}

struct TinyModel {
  config::ModelConfig config = tiny_llama(true);
  StoredType type = StoredType::kF32;
  std::uint64_t max_file_bytes = std::uint64_t{1} << 30;
  std::uint64_t seed = 7;

  void write(const std::string& directory) const {
    make_directories(directory);
    MadeUpWeights weights(config, seed);
    write_safetensors_model(directory, hf_tensors(weights), type, max_file_bytes);
    nlohmann::json json = model_config_to_json(config);
    json["eos_token_id"] = 0;
    json["dtype"] = "float32";
    write_file_atomically(directory + "/config.json", json.dump(1));
    write_file_atomically(directory + "/tokenizer.json", tiny_tokenizer());
  }
};

// All elements of a logical tensor.
inline std::vector<float> whole_tensor(WeightSource& source, const LogicalShape& tensor) {
  const std::int64_t count = tensor.rows * std::max<std::int64_t>(1, tensor.columns);
  std::vector<float> values(static_cast<std::size_t>(count));
  const LocalPart all = tensor.columns == 0
                            ? LocalPart{Shape{0}, Shape{tensor.rows}}
                            : LocalPart{Shape{0, 0}, Shape{tensor.rows, tensor.columns}};
  source.read(tensor.name, all, TensorView(values.data(), DType::kF32, Shape{count}));
  return values;
}

// Name of the first tensor that differs; empty: none.
inline std::string difference(WeightSource& a, WeightSource& b) {
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(a.config()))) {
    if (whole_tensor(a, tensor) != whole_tensor(b, tensor)) {
      return tensor.name;
    }
  }
  return "";
}

}  // namespace finescale
