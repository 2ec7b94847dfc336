// SPDX-License-Identifier: Apache-2.0
// Metadata for a GGUF file, as the bytes that its header will have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/formats/gguf_types.h"

namespace finescale {

// In the order in which it is added.
class GgufKeys {
 public:
  void add_text(std::string_view key, std::string_view value);
  void add_count(std::string_view key, std::int64_t value);  // UINT32, as readers expect of counts
  void add_number(std::string_view key, double value);       // FLOAT32
  void add_flag(std::string_view key, bool value);
  void add_texts(std::string_view key, const std::vector<std::string>& values);
  void add_integers(std::string_view key, const std::vector<std::int32_t>& values);
  void add_numbers(std::string_view key, const std::vector<float>& values);

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  void begin(std::string_view key, GgufValueType type);
  void begin_array(std::string_view key, GgufValueType type, std::size_t count);

  std::string bytes_;
  std::uint64_t count_ = 0;
};

}  // namespace finescale
