// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace finescale {

struct SafetensorsIndex {
  std::string path;
  std::map<std::string, std::string> weight_map;  // tensor -> file beside the index

  [[nodiscard]] std::vector<std::string> files() const;  // sorted, each once
};

// Throws kData naming the field; also when the directory has no index, saying what it has.
[[nodiscard]] SafetensorsIndex read_safetensors_index(const std::string& directory);
[[nodiscard]] std::string safetensors_index_text(
    const std::map<std::string, std::string>& weight_map, std::uint64_t total_bytes);

}  // namespace finescale
