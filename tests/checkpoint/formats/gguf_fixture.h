// SPDX-License-Identifier: Apache-2.0
// A GGUF file byte by byte: right in every field, unless a test makes one wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/formats/gguf_types.h"

namespace finescale {

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}
inline std::string raw_text(const std::string& text) {
  return raw(static_cast<std::uint64_t>(text.size())) + text;
}

struct RawKey {
  std::string key;
  std::uint32_t type = 0;
  std::string value;
};
struct RawTensor {
  std::string name;
  std::vector<std::uint64_t> dims;  // as in the file: innermost first
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
};

struct RawGguf {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::optional<std::uint64_t> num_tensors, num_keys;  // absent: as many as there are
  std::vector<RawKey> keys;
  std::vector<RawTensor> tensors;
  std::uint64_t alignment = 32;
  std::string data;

  [[nodiscard]] std::string header() const {
    std::string out = magic + raw(version) + raw(num_tensors.value_or(tensors.size())) +
                      raw(num_keys.value_or(keys.size()));
    for (const RawKey& key : keys) {
      out += raw_text(key.key) + raw(key.type) + key.value;
    }
    for (const RawTensor& tensor : tensors) {
      out += raw_text(tensor.name) + raw(static_cast<std::uint32_t>(tensor.dims.size()));
      for (const std::uint64_t dim : tensor.dims) {
        out += raw(dim);
      }
      out += raw(tensor.type) + raw(tensor.offset);
    }
    return out;
  }
  [[nodiscard]] std::string bytes() const {
    std::string out = header();
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

inline constexpr std::uint32_t kRawF32 = 0;
inline constexpr std::uint32_t kRawQ80 = 8;

// One key of every type, arrays and arrays of arrays; three tensors.
inline RawGguf sound_gguf() {
  const auto array = [](std::uint32_t item, std::uint64_t count, const std::string& items) {
    return raw(item) + raw(count) + items;
  };
  RawGguf file;
  file.keys = {
      {"u8", 0, raw(std::uint8_t{200})},
      {"i8", 1, raw(std::int8_t{-5})},
      {"u16", 2, raw(std::uint16_t{60000})},
      {"i16", 3, raw(std::int16_t{-30000})},
      {"u32", 4, raw(std::uint32_t{4000000000U})},
      {"i32", 5, raw(std::int32_t{-7})},
      {"f32", 6, raw(1.5F)},
      {"yes", 7, raw(std::uint8_t{1})},
      {"text", 8, raw_text("Ġword")},
      {"u64", 10, raw(std::uint64_t{1} << 40)},
      {"i64", 11, raw(std::int64_t{-9})},
      {"f64", 12, raw(0.1)},
      {"numbers", 9, array(6, 2, raw(1.0F) + raw(-2.0F))},
      {"integers", 9,
       array(5, 3, raw(std::int32_t{1}) + raw(std::int32_t{-1}) + raw(std::int32_t{7}))},
      {"texts", 9, array(8, 2, raw_text("a") + raw_text(""))},
      {"flags", 9, array(7, 2, std::string("\1\0", 2))},
      {"nested", 9, array(9, 2, array(0, 1, "x") + array(8, 1, raw_text("y")))},
      {"general.alignment", 4, raw(std::uint32_t{32})},
  };
  file.tensors = {{"matrix", {64, 3}, kRawQ80, 0},
                  {"vector", {5}, kRawF32, 224},
                  {"last", {2, 2, 1, 1}, kRawF32, 256}};
  for (int i = 0; i < 272; ++i) {  // 6 blocks of 34 bytes, padding, 20 bytes, padding, 16 bytes
    file.data += static_cast<char>(i * 37 % 48);
  }
  return file;
}

}  // namespace finescale
