// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_metadata.h"

#include <limits>

#include "core/error.h"

namespace finescale {

namespace {

constexpr int kDeepestArray = 4;  // arrays of arrays are legal and unused: a stack is finite

GgufValueType value_type(GgufCursor& cursor) {
  const std::uint64_t at = cursor.at();
  const auto code = cursor.number<std::uint32_t>("value type");
  if (code >= kGgufValueTypes) {
    cursor.fail("value type " + std::to_string(code) + " does not exist (valid: 0 to 12)", at);
  }
  return static_cast<GgufValueType>(code);
}

void check_flags(GgufCursor& cursor, std::uint64_t begin, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto value = static_cast<unsigned char>(cursor.file()[begin + i]);
    if (value > 1) {
      cursor.fail("a BOOL is " + std::to_string(value) + ", must be 0 or 1", begin + i);
    }
  }
}

// Moves over `count` values of `type`: what they say about their own sizes must fit the file.
void skip_values(GgufCursor& cursor, GgufValueType type, std::uint64_t count, int depth) {
  const std::uint64_t begin = cursor.at();
  const std::uint64_t size = gguf_value_size(type);
  // A string is at least its length, an array its type and count.
  const std::uint64_t least = type == GgufValueType::kString  ? 8
                              : type == GgufValueType::kArray ? 12
                                                              : size;
  if (count > cursor.left() / least) {
    cursor.fail(std::to_string(count) + " values of type " + gguf_value_type_name(type) +
                    " need more bytes than the " + std::to_string(cursor.left()) +
                    " left in the file",
                begin);
  }
  if (type == GgufValueType::kString) {
    for (std::uint64_t i = 0; i < count; ++i) {
      (void)cursor.text("string");
    }
  } else if (type == GgufValueType::kArray) {
    if (depth == kDeepestArray) {
      cursor.fail("arrays are nested more than " + std::to_string(kDeepestArray) + " deep", begin);
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const GgufValueType item = value_type(cursor);
      const auto items = cursor.number<std::uint64_t>("array length");
      skip_values(cursor, item, items, depth + 1);
    }
  } else {
    cursor.skip(count * size, "value");
    if (type == GgufValueType::kBool) {
      check_flags(cursor, begin, count);
    }
  }
}

template <class T>
T load(std::string_view bytes, std::uint64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

void GgufMetadata::read_entry(GgufCursor& cursor) {
  const std::uint64_t begin = cursor.at();
  cursor.enter("metadata key " + std::to_string(entries_.size()));
  const std::string_view key = cursor.text("key");
  constexpr std::size_t kLongestKey = 65535;  // of the format
  if (key.empty() || key.size() > kLongestKey || !is_printable_utf8(key)) {
    cursor.fail("a key must be 1 to 65535 bytes of printable text", begin);
  }
  cursor.enter(std::string(key));
  Entry entry;
  entry.type = value_type(cursor);
  entry.at = cursor.at();
  if (entry.type == GgufValueType::kArray) {
    entry.array = true;
    entry.type = value_type(cursor);
    entry.count = cursor.number<std::uint64_t>("array length");
  }
  const std::uint64_t first = cursor.at();
  skip_values(cursor, entry.type, entry.count, entry.array ? 1 : 0);
  entry.bytes = cursor.file().substr(first, cursor.at() - first);
  if (!entries_.emplace(key, entry).second) {
    cursor.fail("the key is there twice", begin);
  }
}

const GgufMetadata::Entry* GgufMetadata::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

const GgufMetadata::Entry* GgufMetadata::find(std::string_view key, bool array) const {
  const Entry* entry = find(key);
  if (entry != nullptr && entry->array != array) {
    wrong_type(key, *entry, array ? "an array" : "one value");
  }
  return entry;
}

bool GgufMetadata::is_array(std::string_view key) const {
  const Entry* entry = find(key);
  return entry != nullptr && entry->array;
}

std::string GgufMetadata::place(std::string_view key) const {
  const Entry* entry = find(key);
  return entry == nullptr ? path_ + ": " + std::string(key)
                          : gguf_place(path_, entry->at, std::string(key));
}

void GgufMetadata::wrong_type(std::string_view key, const Entry& entry, const char* wanted) const {
  throw Error(ErrorKind::kData,
              std::string("gguf: the value is ") + (entry.array ? "an array of " : "of type ") +
                  gguf_value_type_name(entry.type) + ", must be " + wanted,
              place(key));
}

std::int64_t GgufMetadata::integer_at(std::string_view key, const Entry& entry,
                                      std::uint64_t index) const {
  switch (entry.type) {
    case GgufValueType::kU8:
      return load<std::uint8_t>(entry.bytes, index);
    case GgufValueType::kI8:
      return load<std::int8_t>(entry.bytes, index);
    case GgufValueType::kU16:
      return load<std::uint16_t>(entry.bytes, index);
    case GgufValueType::kI16:
      return load<std::int16_t>(entry.bytes, index);
    case GgufValueType::kU32:
      return load<std::uint32_t>(entry.bytes, index);
    case GgufValueType::kI32:
      return load<std::int32_t>(entry.bytes, index);
    case GgufValueType::kI64:
      return load<std::int64_t>(entry.bytes, index);
    case GgufValueType::kU64: {
      const auto value = load<std::uint64_t>(entry.bytes, index);
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        wrong_type(key, entry, "below 2^63");
      }
      return static_cast<std::int64_t>(value);
    }
    case GgufValueType::kF32:
    case GgufValueType::kF64:
    case GgufValueType::kBool:
    case GgufValueType::kString:
    case GgufValueType::kArray:
      break;
  }
  wrong_type(key, entry, "an integer");
}

double GgufMetadata::number_at(std::string_view key, const Entry& entry,
                               std::uint64_t index) const {
  if (entry.type == GgufValueType::kF32) {
    return static_cast<double>(load<float>(entry.bytes, index));
  }
  if (entry.type == GgufValueType::kF64) {
    return load<double>(entry.bytes, index);
  }
  return static_cast<double>(integer_at(key, entry, index));
}

std::optional<std::int64_t> GgufMetadata::integer(std::string_view key) const {
  const Entry* entry = find(key, false);
  return entry == nullptr ? std::nullopt : std::optional(integer_at(key, *entry, 0));
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const Entry* entry = find(key, false);
  return entry == nullptr ? std::nullopt : std::optional(number_at(key, *entry, 0));
}

std::optional<bool> GgufMetadata::flag(std::string_view key) const {
  const Entry* entry = find(key, false);
  if (entry == nullptr) {
    return std::nullopt;
  }
  if (entry->type != GgufValueType::kBool) {
    wrong_type(key, *entry, "BOOL");
  }
  return entry->bytes.front() != 0;
}

std::optional<std::string_view> GgufMetadata::text(std::string_view key) const {
  const Entry* entry = find(key, false);
  if (entry == nullptr) {
    return std::nullopt;
  }
  if (entry->type != GgufValueType::kString) {
    wrong_type(key, *entry, "STRING");
  }
  return entry->bytes.substr(8);
}

std::vector<std::string_view> GgufMetadata::texts(std::string_view key) const {
  const Entry* entry = find(key, true);
  if (entry == nullptr) {
    return {};
  }
  if (entry->type != GgufValueType::kString) {
    wrong_type(key, *entry, "an array of STRING");
  }
  std::vector<std::string_view> out;
  out.reserve(entry->count);
  std::string_view rest = entry->bytes;
  for (std::uint64_t i = 0; i < entry->count; ++i) {
    const auto length = load<std::uint64_t>(rest, 0);
    out.push_back(rest.substr(8, length));
    rest.remove_prefix(8 + length);
  }
  return out;
}

std::vector<std::int64_t> GgufMetadata::integers(std::string_view key) const {
  std::vector<std::int64_t> out;
  if (const Entry* entry = find(key, true)) {
    out.reserve(entry->count);
    for (std::uint64_t i = 0; i < entry->count; ++i) {
      out.push_back(integer_at(key, *entry, i));
    }
  }
  return out;
}

std::vector<double> GgufMetadata::numbers(std::string_view key) const {
  std::vector<double> out;
  if (const Entry* entry = find(key, true)) {
    out.reserve(entry->count);
    for (std::uint64_t i = 0; i < entry->count; ++i) {
      out.push_back(number_at(key, *entry, i));
    }
  }
  return out;
}

}  // namespace finescale
