// SPDX-License-Identifier: Apache-2.0
#include "configs/ranges.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "configs/schema/options.pb.h"

namespace finescale {

std::string number_text(double value) {
  std::array<char, 40> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), result.ptr);
  if (const std::size_t e = text.find('e');
      e != std::string::npos) {  // 1e-08 -> 1e-8, 1e+20 -> 1e20
    std::size_t digits = e + 2;
    while (digits + 1 < text.size() && text[digits] == '0') {
      ++digits;
    }
    text = text.substr(0, e + 1) + (text[e + 1] == '-' ? "-" : "") + text.substr(digits);
  }
  return text;
}

std::string range_text(const google::protobuf::FieldDescriptor& field) {
  const auto& options = field.options();
  std::string text;
  const auto add = [&](const char* sign, double bound) {
    text += (text.empty() ? "" : " and ") + std::string(sign) + " " + number_text(bound);
  };
  if (options.HasExtension(config::min) && options.HasExtension(config::max) &&
      options.GetExtension(config::min) == options.GetExtension(config::max)) {
    return number_text(options.GetExtension(config::min));
  }
  if (options.HasExtension(config::min)) {
    add(">=", options.GetExtension(config::min));
  }
  if (options.HasExtension(config::above)) {
    add(">", options.GetExtension(config::above));
  }
  if (options.HasExtension(config::max)) {
    add("<=", options.GetExtension(config::max));
  }
  if (options.HasExtension(config::below)) {
    add("<", options.GetExtension(config::below));
  }
  return text;
}

std::string range_violation(const google::protobuf::FieldDescriptor& field, double value) {
  const auto& options = field.options();
  const bool allowed =
      (!options.HasExtension(config::min) || value >= options.GetExtension(config::min)) &&
      (!options.HasExtension(config::above) || value > options.GetExtension(config::above)) &&
      (!options.HasExtension(config::max) || value <= options.GetExtension(config::max)) &&
      (!options.HasExtension(config::below) || value < options.GetExtension(config::below));
  return allowed ? "" : range_text(field);
}

std::string enum_word(const google::protobuf::EnumValueDescriptor& value) {
  // The prefix is the type's name in capitals: OnOverlong -> ON_OVERLONG_.
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !prefix.empty()) {
      prefix += '_';
    }
    prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  std::string word = value.name().substr(prefix.size() + 1);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return word;
}

const google::protobuf::EnumValueDescriptor* find_enum(const google::protobuf::EnumDescriptor& type,
                                                       const std::string& word) {
  for (int i = 0; i < type.value_count(); ++i) {
    if (enum_word(*type.value(i)) == word) {
      return type.value(i);
    }
  }
  return nullptr;
}

std::vector<std::string> enum_words(const google::protobuf::EnumDescriptor& type) {
  std::vector<std::string> words;
  words.reserve(static_cast<std::size_t>(type.value_count()));
  for (int i = 0; i < type.value_count(); ++i) {
    words.push_back(enum_word(*type.value(i)));
  }
  return words;
}

}  // namespace finescale
