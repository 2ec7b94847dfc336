// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jsonl.h"

#include <fstream>
#include <optional>

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace finescale {

namespace {

using Json = nlohmann::json;

constexpr const char* kForms =
    R"(each line must be {"prompt", "response"}, {"text"} or {"messages"})";

struct Bad {
  std::string why;
};

std::string text_field(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) {
    throw Bad{std::string("\"") + name + "\" is missing"};
  }
  if (!found->is_string()) {
    throw Bad{std::string("\"") + name + "\" is " + found->type_name() + ", must be a string"};
  }
  return found->get<std::string>();
}

RawExample from_messages(const Json& messages) {
  RawExample example;
  if (!messages.is_array() || messages.empty()) {
    throw Bad{"\"messages\" must be a list of {role, content}"};
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string role = text_field(messages[i], "role");
    const std::string content = text_field(messages[i], "content");
    if (role == "assistant") {
      if (i + 1 != messages.size()) {
        throw Bad{
            "several assistant turns: only the last message may be the assistant's in this "
            "version"};
      }
      example.response = content;
    } else {
      example.prompt += (example.prompt.empty() ? "" : "\n") + content;
    }
  }
  if (example.response.empty()) {
    throw Bad{"the last message is not a non-empty assistant turn"};
  }
  return example;
}

RawExample parse_line(const std::string& line) {
  Json object;
  try {
    object = Json::parse(line);
  } catch (const Json::parse_error& error) {
    std::string why = error.what();
    if (const std::size_t at = why.find("parse error"); at != std::string::npos) {
      why = why.substr(at);
    }
    throw Bad{"not valid JSON: " + why};
  }
  if (!object.is_object()) {
    throw Bad{std::string("is ") + object.type_name() + ", must be an object"};
  }
  if (object.contains("messages")) {
    return from_messages(object["messages"]);
  }
  RawExample example;
  if (object.contains("text")) {
    example.is_text = true;
    example.response = text_field(object, "text");
  } else {
    example.prompt = text_field(object, "prompt");
    example.response = text_field(object, "response");
  }
  if (example.response.empty()) {
    throw Bad{std::string("\"") + (example.is_text ? "text" : "response") +
              "\" is empty: nothing to learn"};
  }
  return example;
}

// Cuts the carriage return of a file from elsewhere off.
bool is_blank(std::string& line) {
  if (!line.empty() && line.back() == '\r') {
    line.pop_back();
  }
  return line.find_first_not_of(" \t") == std::string::npos;
}

// Nothing when the line is no example and such lines are skipped.
std::optional<RawExample> parse_or_skip(const std::string& line, const std::string& where,
                                        config::OnBadExample on_bad) {
  try {
    return parse_line(line);
  } catch (const Bad& bad) {
    if (on_bad == config::ON_BAD_EXAMPLE_SKIP) {
      return std::nullopt;
    }
    throw Error(ErrorKind::kData, bad.why, where,
                std::string(kForms) + "; data.on_bad_example: skip counts and skips such lines");
  }
}

}  // namespace

std::int64_t read_jsonl(const config::DatasetRef& ref, config::OnBadExample on_bad,
                        const std::function<void(RawExample&&, const std::string& where)>& take) {
  std::int64_t skipped = 0;
  std::int64_t taken = 0;
  for (const config::FileRef& file : ref.files()) {
    std::ifstream in(file.path(), std::ios::binary);
    if (!in) {
      throw Error(ErrorKind::kData, "cannot open the data file", file.path(),
                  "check data.train.path and data.eval");
    }
    std::string line;
    for (std::int64_t number = 1; std::getline(in, line); ++number) {
      if (ref.has_limit() && taken >= ref.limit()) {
        return skipped;
      }
      if (is_blank(line)) {
        continue;
      }
      const std::string where = file.path() + ":" + std::to_string(number);
      if (auto example = parse_or_skip(line, where, on_bad)) {
        take(std::move(*example), where);
        ++taken;
      } else {
        ++skipped;
      }
    }
  }
  return skipped;
}

}  // namespace finescale
