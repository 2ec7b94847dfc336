// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_keys.h"

#include <limits>

#include "checkpoint/formats/gguf_bytes.h"
#include "core/error.h"

namespace finescale {

namespace {

void put_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<std::uint64_t>(text.size()));
  out += text;
}

}  // namespace

void GgufKeys::begin(std::string_view key, GgufValueType type) {
  put_text(bytes_, key);
  append_number(bytes_, static_cast<std::uint32_t>(type));
  ++count_;
}

void GgufKeys::begin_array(std::string_view key, GgufValueType type, std::size_t count) {
  begin(key, GgufValueType::kArray);
  append_number(bytes_, static_cast<std::uint32_t>(type));
  append_number(bytes_, static_cast<std::uint64_t>(count));
}

void GgufKeys::add_text(std::string_view key, std::string_view value) {
  begin(key, GgufValueType::kString);
  put_text(bytes_, value);
}

void GgufKeys::add_count(std::string_view key, std::int64_t value) {
  FS_CHECK(value >= 0 && value <= std::numeric_limits<std::uint32_t>::max(), std::string(key));
  begin(key, GgufValueType::kU32);
  append_number(bytes_, static_cast<std::uint32_t>(value));
}

void GgufKeys::add_number(std::string_view key, double value) {
  begin(key, GgufValueType::kF32);
  append_number(bytes_, static_cast<float>(value));
}

void GgufKeys::add_flag(std::string_view key, bool value) {
  begin(key, GgufValueType::kBool);
  append_number(bytes_, static_cast<std::uint8_t>(value ? 1 : 0));
}

void GgufKeys::add_texts(std::string_view key, const std::vector<std::string>& values) {
  begin_array(key, GgufValueType::kString, values.size());
  for (const std::string& value : values) {
    put_text(bytes_, value);
  }
}

void GgufKeys::add_integers(std::string_view key, const std::vector<std::int32_t>& values) {
  begin_array(key, GgufValueType::kI32, values.size());
  for (const std::int32_t value : values) {
    append_number(bytes_, value);
  }
}

void GgufKeys::add_numbers(std::string_view key, const std::vector<float>& values) {
  begin_array(key, GgufValueType::kF32, values.size());
  for (const float value : values) {
    append_number(bytes_, value);
  }
}

}  // namespace finescale
