// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/json_node.h"

#include "core/error.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {
constexpr int kMaxDepth = 64;  // Sequences in Sequences; readers recurse
}

JsonNode JsonNode::child(const nlohmann::json& value, std::string_view step) const {
  JsonNode made(value, *where_);
  made.path_ = path_ + "/" + std::string(step);
  made.depth_ = depth_ + 1;
  if (made.depth_ > kMaxDepth) {
    made.fail("is nested too deep");
  }
  return made;
}

JsonNode JsonNode::at(std::string_view key) const {
  if (!value_->is_object()) {
    fail(std::string("is ") + value_->type_name() + ", must be an object");
  }
  const auto found = value_->find(key);
  if (found == value_->end()) {
    fail("lacks \"" + std::string(key) + "\"");
  }
  return child(*found, key);
}

JsonNode JsonNode::at(std::size_t index) const {
  if (index >= size()) {
    fail("has " + std::to_string(size()) + " entries, needs more than " + std::to_string(index));
  }
  return child((*value_)[index], std::to_string(index));
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  if (!value_->is_object()) {
    fail(std::string("is ") + value_->type_name() + ", must be an object");
  }
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) {
    return std::nullopt;
  }
  return child(*found, key);
}

std::size_t JsonNode::size() const {
  if (!value_->is_array()) {
    fail(std::string("is ") + value_->type_name() + ", must be a list");
  }
  return value_->size();
}

const std::string& JsonNode::text() const {
  if (!value_->is_string()) {
    fail(std::string("is ") + value_->type_name() + ", must be a text");
  }
  return value_->get_ref<const std::string&>();
}

char32_t JsonNode::character() const {
  const std::string& all = text();
  const CodePoint first = decode_utf8(all, 0);
  if (first.length == 0 || static_cast<std::size_t>(first.length) != all.size()) {
    fail("is \"" + all + "\", must be one character");
  }
  return first.value;
}

bool JsonNode::flag() const {
  if (!value_->is_boolean()) {
    fail(std::string("is ") + value_->type_name() + ", must be true or false");
  }
  return value_->get<bool>();
}

double JsonNode::number() const {
  if (!value_->is_number()) {
    fail(std::string("is ") + value_->type_name() + ", must be a number");
  }
  return value_->get<double>();
}

std::int64_t JsonNode::integer(std::int64_t least, std::int64_t most) const {
  const bool fits = value_->is_number_unsigned()
                        ? value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                        : value_->is_number_integer() && value_->get<std::int64_t>() <= most;
  if (!fits || value_->get<std::int64_t>() < least) {
    fail("must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value_->get<std::int64_t>();
}

std::string JsonNode::text_or(std::string_view key, std::string_view otherwise) const {
  const std::optional<JsonNode> found = find(key);
  return found ? found->text() : std::string(otherwise);
}

bool JsonNode::flag_or(std::string_view key, bool otherwise) const {
  const std::optional<JsonNode> found = find(key);
  return found ? found->flag() : otherwise;
}

std::string JsonNode::type() const {
  return at("type").text();
}

void JsonNode::fail(const std::string& message) const {
  throw Error(ErrorKind::kData, "tokenizer.json: " + (path_.empty() ? "/" : path_) + " " + message,
              *where_);
}

void JsonNode::unsupported(const std::string& what) const {
  throw Error(
      ErrorKind::kData,
      "tokenizer.json: " + (path_.empty() ? "/" : path_) + ": " + what + " is not supported",
      *where_, "docs/tokenizers.md lists what is");
}

}  // namespace finescale
