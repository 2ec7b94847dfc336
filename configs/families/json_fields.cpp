// SPDX-License-Identifier: Apache-2.0
#include "configs/families/json_fields.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

// The value as it stands in the file, short enough for a message.
std::string shown(const nlohmann::json& value) {
  constexpr std::size_t kMost = 60;
  std::string text =
      value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);  // ASCII only
  if (text.size() > kMost) {
    text = text.substr(0, kMost) + "...";
  }
  return text;
}

}  // namespace

JsonFields::JsonFields(const nlohmann::json& json, std::string where)
    : json_(&json), where_(std::move(where)) {
  if (!json.is_object()) {
    throw Error(ErrorKind::kConfig, "not a JSON object but " + shown(json), where_);
  }
}

bool JsonFields::has(const std::string& key) const {
  const auto found = json_->find(key);
  return found != json_->end() && !found->is_null();
}

// Sizes are whole numbers below 2^28: far above any model, and products of two fit 64 bits.
int JsonFields::whole(const std::string& key, std::optional<int> otherwise, int least) const {
  if (!has(key)) {
    if (!otherwise) {
      throw Error(ErrorKind::kConfig, prefix_ + key + " is missing", where_);
    }
    return *otherwise;
  }
  constexpr std::uint64_t kMost = std::uint64_t{1} << 28;
  const nlohmann::json& value = json_->at(key);
  const std::string wanted = "a whole number >= " + std::to_string(least) + " and < 2^28";
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number >= kMost) {
      wrong(key, wanted);
    }
  } else if (!value.is_number_integer()) {
    wrong(key, wanted);
  }
  const auto number = value.get<std::int64_t>();
  if (number < least) {
    wrong(key, wanted);
  }
  return static_cast<int>(number);
}

double JsonFields::positive(const std::string& key, std::optional<double> otherwise) const {
  if (!has(key)) {
    if (!otherwise) {
      throw Error(ErrorKind::kConfig, prefix_ + key + " is missing", where_);
    }
    return *otherwise;
  }
  const nlohmann::json& value = json_->at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
    wrong(key, "a number > 0");
  }
  return value.get<double>();
}

bool JsonFields::flag(const std::string& key, bool otherwise) const {
  if (!has(key)) {
    return otherwise;
  }
  if (!json_->at(key).is_boolean()) {
    wrong(key, "true or false");
  }
  return json_->at(key).get<bool>();
}

std::string JsonFields::text(const std::string& key, const std::string& otherwise) const {
  if (!has(key)) {
    return otherwise;
  }
  if (!json_->at(key).is_string()) {
    wrong(key, "a string");
  }
  return json_->at(key).get<std::string>();
}

JsonFields JsonFields::object(const std::string& key) const {
  if (!has(key) || !json_->at(key).is_object()) {
    wrong(key, "an object");
  }
  JsonFields inner(json_->at(key), where_);
  inner.prefix_ = prefix_ + key + ".";
  return inner;
}

void JsonFields::refuse(const std::string& key, const std::string& hint) const {
  throw Error(ErrorKind::kConfig,
              prefix_ + key + " is " + (json_->contains(key) ? shown(json_->at(key)) : "absent") +
                  ", which is not supported",
              where_, hint);
}

void JsonFields::must_be_off(const std::string& key) const {
  if (flag(key, false)) {
    refuse(key);
  }
}

void JsonFields::wrong(const std::string& key, const std::string& wanted) const {
  throw Error(ErrorKind::kConfig,
              prefix_ + key + " is " + (json_->contains(key) ? shown(json_->at(key)) : "absent") +
                  ", must be " + wanted,
              where_);
}

}  // namespace finescale
