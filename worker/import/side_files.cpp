// SPDX-License-Identifier: Apache-2.0
#include "worker/import/side_files.h"

#include <cstdint>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/gguf.h"
#include "configs/model_directory.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json_depth.h"
#include "worker/data/gguf_side_files.h"

namespace finescale {

namespace {

// An empty object where there is no such file.
nlohmann::json read_object(const std::string& path) {
  if (!path_exists(path)) {
    return nlohmann::json::object();
  }
  const std::string text = read_file(path);
  const bool is_deep = is_json_too_deep(text);
  nlohmann::json json = is_deep ? nullptr : nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    throw Error(ErrorKind::kData, is_deep ? kJsonTooDeep : "must be a JSON object", path,
                "get the model's files again");
  }
  return json;
}

// A token or a number of them.
bool is_count(const nlohmann::json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() <= INT32_MAX;
}

template <class T>
void take(const nlohmann::json& json, const char* key, std::optional<T>& value) {
  const auto found = json.find(key);
  if (found == json.end()) {
    return;
  }
  if constexpr (std::is_same_v<T, std::string>) {
    // A token is a text, or an object with its content.
    const nlohmann::json text =
        found->is_object() ? found->value("content", nlohmann::json()) : *found;
    if (text.is_string()) {
      value = text.get<std::string>();
    }
  } else if constexpr (std::is_same_v<T, bool>) {
    value = found->is_boolean() ? std::optional(found->get<bool>()) : std::nullopt;
  } else if constexpr (std::is_integral_v<T>) {
    value = is_count(*found) ? std::optional(found->get<T>()) : std::nullopt;
  } else {
    value = found->is_number() ? std::optional(found->get<T>()) : std::nullopt;
  }
}

// A text, or a list of named ones of which `default` is meant.
std::optional<std::string> template_of(const nlohmann::json& json) {
  const auto found = json.find("chat_template");
  if (found == json.end()) {
    return std::nullopt;
  }
  if (found->is_string()) {
    return found->get<std::string>();
  }
  if (found->is_array()) {
    for (const nlohmann::json& named : *found) {
      if (named.is_object() && named.value("name", "") == "default" && named.contains("template") &&
          named["template"].is_string()) {
        return named["template"].get<std::string>();
      }
    }
  }
  return std::nullopt;
}

std::vector<std::int32_t> ids_of(const nlohmann::json& json) {
  std::vector<std::int32_t> ids;
  const auto found = json.find("eos_token_id");
  if (found == json.end()) {
    return ids;
  }
  for (const nlohmann::json& id : found->is_array() ? *found : nlohmann::json::array({*found})) {
    if (is_count(id)) {
      ids.push_back(id.get<std::int32_t>());
    }
  }
  return ids;
}

}  // namespace

namespace {

SideFiles read_gguf_side_files(const std::string& path) {
  const auto file = open_gguf(path);
  const GgufMetadata& metadata = file->metadata();
  SideFiles files;
  const nlohmann::json tokenizer = gguf_tokenizer_config(metadata);
  take(tokenizer, "bos_token", files.bos_token);
  take(tokenizer, "eos_token", files.eos_token);
  files.chat_template = template_of(tokenizer);
  files.chat_template_place = metadata.place("tokenizer.chat_template");
  files.eos_ids = ids_of(gguf_generation_config(metadata));
  return files;
}

}  // namespace

SideFiles read_side_files(const std::string& directory) {
  SideFiles files;
  if (directory.empty()) {
    return files;
  }
  if (is_gguf_name(directory)) {
    return read_gguf_side_files(directory);
  }
  const nlohmann::json tokenizer = read_object(directory + "/tokenizer_config.json");
  take(tokenizer, "bos_token", files.bos_token);
  take(tokenizer, "eos_token", files.eos_token);
  files.chat_template_place = directory + "/chat_template.jinja";
  if (path_exists(files.chat_template_place)) {
    files.chat_template = read_file(files.chat_template_place);
  } else {
    files.chat_template = template_of(tokenizer);
    files.chat_template_place = directory + "/tokenizer_config.json: chat_template";
  }
  const nlohmann::json generation = read_object(directory + "/generation_config.json");
  files.eos_ids = ids_of(generation);
  if (files.eos_ids.empty()) {
    files.eos_ids = ids_of(read_object(directory + "/config.json"));
  }
  take(generation, "temperature", files.temperature);
  take(generation, "top_p", files.top_p);
  take(generation, "min_p", files.min_p);
  take(generation, "top_k", files.top_k);
  take(generation, "repetition_penalty", files.repetition_penalty);
  take(generation, "do_sample", files.do_sample);
  return files;
}

}  // namespace finescale
