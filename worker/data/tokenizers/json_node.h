// SPDX-License-Identifier: Apache-2.0
// A place in tokenizer.json: the value and its JSON path, so that every complaint names where it
// is. Borrows the document and the file's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace finescale {

class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, const std::string& where)
      : value_(&value), where_(&where) {}

  // All throw kData naming the path when the value is not what is asked for.
  [[nodiscard]] JsonNode at(std::string_view key) const;
  [[nodiscard]] JsonNode at(std::size_t index) const;
  [[nodiscard]] std::optional<JsonNode> find(std::string_view key) const;  // null counts as absent
  [[nodiscard]] std::size_t size() const;                                  // of a list
  [[nodiscard]] const std::string& text() const;
  [[nodiscard]] char32_t character() const;  // a text of one character
  [[nodiscard]] bool flag() const;
  [[nodiscard]] double number() const;
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most) const;
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string type() const;  // the member "type"

  [[nodiscard]] bool is_object() const { return value_->is_object(); }
  [[nodiscard]] bool is_array() const { return value_->is_array(); }
  [[nodiscard]] bool is_string() const { return value_->is_string(); }
  [[nodiscard]] const nlohmann::json& value() const { return *value_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void unsupported(const std::string& what) const;

 private:
  [[nodiscard]] JsonNode child(const nlohmann::json& value, std::string_view step) const;

  const nlohmann::json* value_;
  const std::string* where_;
  std::string path_;
  int depth_ = 0;
};

}  // namespace finescale
