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

#include "configs/decoder.h"
#include "configs/tensor_names.h"
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

// Tensors (F32, BF16) of every .safetensors file of a directory whose name begins with `prefix`.
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
      const bool is_bf16 = value.at("dtype") == "BF16";
      if (!is_bf16 && value.at("dtype") != "F32") {
        throw std::runtime_error(key + " is neither F32 nor BF16");
      }
      const auto begin = value.at("data_offsets")[0].get<std::size_t>();
      const auto end = value.at("data_offsets")[1].get<std::size_t>();
      Array& array = tensors[key];
      array.shape = value.at("shape").get<std::vector<std::int64_t>>();
      const char* data = bytes.data() + 8 + header_size + begin;
      if (is_bf16) {  // the upper half of an f32
        array.values.resize((end - begin) / 2);
        for (std::size_t i = 0; i < array.values.size(); ++i) {
          std::uint16_t upper = 0;
          std::memcpy(&upper, data + 2 * i, sizeof upper);
          const std::uint32_t bits = std::uint32_t{upper} << 16;
          std::memcpy(&array.values[i], &bits, sizeof bits);
        }
      } else {
        array.values.resize((end - begin) / sizeof(float));
        std::memcpy(array.values.data(), data, end - begin);
      }
    }
  }
  return tensors;
}

inline nlohmann::json read_json(const std::string& path) {
  return nlohmann::json::parse(read_file(path));
}

inline config::ModelConfig read_config(const std::string& where) {
  return model_config_from_json(read_json(where + "/config.json"), where + "/config.json");
}

// A logical tensor out of what a family's files hold: unpacked, and transposed where they lie [in,
// out]. Throws when no accepted name is there.
inline std::vector<float> logical_values(const config::ModelConfig& config,
                                         const LogicalShape& tensor,
                                         const std::map<std::string, Array>& files,
                                         const std::string& prefix = "") {
  const FileTensor file = hf_tensor(config, tensor.name);
  auto found = files.find(prefix + file.name);
  for (std::size_t i = 0; found == files.end() && i < file.also.size(); ++i) {
    found = files.find(prefix + file.also[i]);
  }
  if (found == files.end()) {
    throw std::runtime_error("the files have no " + prefix + file.name);
  }
  const std::vector<float>& values = found->second.values;
  const std::int64_t columns = std::max<std::int64_t>(1, tensor.columns);
  if (static_cast<std::int64_t>(values.size()) != file.file_rows * columns) {
    throw std::runtime_error(file.name + " has another size");
  }
  std::vector<float> out;
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    const std::int64_t row = file.first_row + r / file.block * file.stride + r % file.block;
    for (std::int64_t c = 0; c < columns; ++c) {
      out.push_back(values[static_cast<std::size_t>(file.transposed ? c * file.file_rows + row
                                                                    : row * columns + c)]);
    }
  }
  return out;
}

}  // namespace finescale::reference
