// SPDX-License-Identifier: Apache-2.0
// Keys and values of a GGUF file, as views of its bytes: they live as long as the file is mapped.
// A key that is absent is no error here; one of the wrong type throws kData naming its place.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/formats/gguf_cursor.h"
#include "checkpoint/formats/gguf_types.h"

namespace finescale {

class GgufMetadata {
 public:
  GgufMetadata() = default;
  explicit GgufMetadata(std::string path) : path_(std::move(path)) {}

  // Reads and validates one key and its value.
  void read_entry(GgufCursor& cursor);

  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  // Of any integer type that holds the value.
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key) const;
  [[nodiscard]] std::optional<double> number(std::string_view key) const;  // an integer or a float
  [[nodiscard]] std::optional<bool> flag(std::string_view key) const;
  [[nodiscard]] std::optional<std::string_view> text(std::string_view key) const;
  // Arrays; empty when the key is absent.
  [[nodiscard]] std::vector<std::string_view> texts(std::string_view key) const;
  [[nodiscard]] std::vector<std::int64_t> integers(std::string_view key) const;
  [[nodiscard]] std::vector<double> numbers(std::string_view key) const;
  // Whether the value is an array.
  [[nodiscard]] bool is_array(std::string_view key) const;

  // `path: byte N: key`, for messages about what a value means.
  [[nodiscard]] std::string place(std::string_view key) const;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  struct Entry {
    GgufValueType type = GgufValueType::kU8;  // of the items, when an array
    bool array = false;
    std::uint64_t count = 1;
    std::string_view bytes;  // the value, or the items
    std::uint64_t at = 0;
  };

  [[nodiscard]] const Entry* find(std::string_view key) const;
  [[nodiscard]] const Entry* find(std::string_view key, bool array) const;
  [[noreturn]] void wrong_type(std::string_view key, const Entry& entry, const char* wanted) const;
  [[nodiscard]] std::int64_t integer_at(std::string_view key, const Entry& entry,
                                        std::uint64_t index) const;
  [[nodiscard]] double number_at(std::string_view key, const Entry& entry,
                                 std::uint64_t index) const;

  std::string path_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace finescale
