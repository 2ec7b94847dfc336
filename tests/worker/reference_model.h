// SPDX-License-Identifier: Apache-2.0
// Reading the reference models beside the project (Hugging Face layout), for parity tests. Tests
// skip when they are absent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "configs/schema/model.pb.h"
#include "core/files.h"

namespace finescale::reference {

// FINESCALE_SHARED, else shared/ beside the source tree.
inline std::string directory(const std::string& name) {
  const char* given = std::getenv("FINESCALE_SHARED");
  return (given != nullptr ? std::string(given) : std::string(FINESCALE_SOURCE_DIR "/../shared")) +
         "/reference/hf/" + name;
}

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// Float32 tensors of every .safetensors file of a directory whose name begins with `prefix`.
inline std::map<std::string, Array> read_tensors(const std::string& where,
                                                 const std::string& prefix) {
  std::map<std::string, Array> tensors;
  for (const auto& entry : std::filesystem::directory_iterator(where)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".safetensors")) {
      continue;
    }
    const std::string bytes = read_file(entry.path().string());
    std::uint64_t header_size = 0;
    std::memcpy(&header_size, bytes.data(), sizeof header_size);
    const auto header = nlohmann::json::parse(bytes.substr(8, header_size));
    for (const auto& [key, value] : header.items()) {
      if (key == "__metadata__") {
        continue;
      }
      if (value.at("dtype") != "F32") {
        throw std::runtime_error(key + " is not F32");
      }
      const auto begin = value.at("data_offsets")[0].get<std::size_t>();
      const auto end = value.at("data_offsets")[1].get<std::size_t>();
      Array& array = tensors[key];
      array.shape = value.at("shape").get<std::vector<std::int64_t>>();
      array.values.resize((end - begin) / sizeof(float));
      std::memcpy(array.values.data(), bytes.data() + 8 + header_size + begin, end - begin);
    }
  }
  return tensors;
}

inline nlohmann::json read_json(const std::string& path) {
  return nlohmann::json::parse(read_file(path));
}

inline config::Llama read_config(const std::string& where) {
  const nlohmann::json json = read_json(where + "/config.json");
  config::Llama llama;
  llama.set_vocab_size(json.at("vocab_size"));
  llama.set_hidden_size(json.at("hidden_size"));
  llama.set_num_layers(json.at("num_hidden_layers"));
  llama.set_num_heads(json.at("num_attention_heads"));
  llama.set_num_kv_heads(json.at("num_key_value_heads"));
  llama.set_head_dim(json.value("head_dim", 0));
  llama.set_intermediate_size(json.at("intermediate_size"));
  llama.set_rope_theta(json.contains("rope_theta")
                           ? json.at("rope_theta").get<double>()
                           : json.at("rope_parameters").at("rope_theta").get<double>());
  llama.set_rms_norm_eps(json.at("rms_norm_eps"));
  llama.set_tie_embeddings(json.at("tie_word_embeddings"));
  llama.set_max_positions(json.at("max_position_embeddings"));
  return llama;
}

}  // namespace finescale::reference
