// SPDX-License-Identifier: Apache-2.0
// The JSON of a safetensors header as it is written: types of values are checked, their meaning is
// not. Read as a stream, so that no tree of it is ever held.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

struct SafetensorsJson {
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t offset = 0;  // byte of the JSON behind the tensor's name
  };
  std::vector<Tensor> tensors;  // in the order of the header; names differ
  std::map<std::string, std::string> metadata;
};

struct SafetensorsFault {
  std::uint64_t offset = 0;  // byte of the JSON
  std::string field;
  std::string message;
};

// Throws SafetensorsFault.
[[nodiscard]] SafetensorsJson parse_safetensors_json(std::string_view text);

}  // namespace finescale
