// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/safetensors_index.h"

#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_depth.h"

namespace finescale {

namespace {

constexpr const char* kIndexName = "/model.safetensors.index.json";

// A directory that holds a model in a form that is not read is told apart from an empty one.
Error no_model(const std::string& directory) {
  std::error_code code;
  std::string other;
  for (const auto& entry : std::filesystem::directory_iterator(directory, code)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") ||
        name.ends_with(".gguf")) {
      other = name;
    }
  }
  const bool gguf = other.ends_with(".gguf");
  return {ErrorKind::kData, "no model.safetensors and no model.safetensors.index.json is here",
          directory,
          other.empty() ? "give the directory that save_pretrained wrote, or a .gguf file"
          : gguf        ? "give the file itself: " + directory + "/" + other
                        : other + " is not read: save the model as safetensors"};
}

}  // namespace

std::vector<std::string> SafetensorsIndex::files() const {
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) {
    names.insert(file);
  }
  return {names.begin(), names.end()};
}

SafetensorsIndex read_safetensors_index(const std::string& directory) {
  SafetensorsIndex index;
  index.path = directory + kIndexName;
  if (!path_exists(index.path)) {
    throw no_model(directory);
  }
  const auto fail = [&](const std::string& field, const std::string& message) {
    throw Error(ErrorKind::kData, message, index.path + (field.empty() ? "" : ": " + field),
                "get the index again from where the model came");
  };
  const std::string text = read_file(index.path);
  if (is_json_too_deep(text)) {
    fail("", kJsonTooDeep);
  }
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    fail("", error.what());
  }
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object() || map->empty()) {
    fail("weight_map", "must be an object of tensor names and files");
  }
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      fail("weight_map." + tensor, "must be the name of a file");
    }
    std::string name = file.get<std::string>();
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      fail("weight_map." + tensor, "is \"" + name + "\", must be a file beside the index");
    }
    if (!path_exists(std::filesystem::path(directory) / name)) {
      fail("weight_map." + tensor, "the shard " + name + " is missing");
    }
    index.weight_map.emplace(tensor, std::move(name));
  }
  return index;
}

std::string safetensors_index_text(const std::map<std::string, std::string>& weight_map,
                                   std::uint64_t total_bytes) {
  return nlohmann::json{{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}}
             .dump(2) +
         "\n";
}

}  // namespace finescale
