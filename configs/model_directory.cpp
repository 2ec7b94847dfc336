// SPDX-License-Identifier: Apache-2.0
#include "configs/model_directory.h"

#include <cstdint>
#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/gguf_summary.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json_depth.h"

namespace finescale {

namespace {

nlohmann::json read_json(const std::string& path) {
  const std::string text = read_file(path);
  if (is_json_too_deep(text)) {
    throw Error(ErrorKind::kConfig, kJsonTooDeep, path);
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kConfig, std::string("not valid JSON: ") + error.what(), path);
  }
}

// Names of the shards that the index lists; the reader of weights checks the index itself.
std::vector<std::string> shards(const std::string& directory) {
  const std::string index = directory + "/model.safetensors.index.json";
  std::set<std::string> names;
  const nlohmann::json json = read_json(index);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object() || map->empty()) {
    throw Error(ErrorKind::kConfig, "weight_map is missing or no object", index);
  }
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos ||
        !path_exists(std::filesystem::path(directory) / name)) {
      throw Error(ErrorKind::kConfig,
                  "weight_map." + tensor + " names the shard " + file.dump() +
                      ", which is not beside the index",
                  index, "get the model's files again");
    }
    names.insert(std::string(directory).append("/").append(name));
  }
  return {names.begin(), names.end()};
}

void require_file(const std::string& path, const std::string& directory, const std::string& hint) {
  if (!path_exists(path)) {
    throw Error(ErrorKind::kConfig, std::filesystem::path(path).filename().string() + " is missing",
                directory, hint);
  }
}

ModelDirectory hugging_face(const std::string& directory) {
  ModelDirectory found;
  found.kind = ModelKind::kHuggingFace;
  found.files.push_back(directory + "/config.json");
  const std::string single = directory + "/model.safetensors";
  if (path_exists(single)) {
    found.files.push_back(single);
  } else if (path_exists(directory + "/model.safetensors.index.json")) {
    const std::vector<std::string> names = shards(directory);
    found.files.insert(found.files.end(), names.begin(), names.end());
  } else {
    const bool pickled = path_exists(directory + "/pytorch_model.bin") ||
                         path_exists(directory + "/pytorch_model.bin.index.json");
    throw Error(ErrorKind::kConfig, "config.json is here, but no model.safetensors", directory,
                pickled ? "pytorch_model.bin is not read: save the model as safetensors"
                        : "the weights are missing: get model.safetensors too");
  }
  found.tokenizer = directory + "/tokenizer.json";
  require_file(found.tokenizer, directory,
               path_exists(directory + "/tokenizer.model")
                   ? "save the tokenizer in its fast form, which writes tokenizer.json"
                   : "get the model's tokenizer.json");
  return found;
}

std::optional<int> end_id(const std::string& path) {
  if (!path_exists(path)) {
    return std::nullopt;
  }
  const nlohmann::json json = read_json(path);
  const auto found = json.is_object() ? json.find("eos_token_id") : json.end();
  if (found == json.end()) {
    return std::nullopt;
  }
  const nlohmann::json& id = found->is_array() && !found->empty() ? found->front() : *found;
  const bool is_token = id.is_number_unsigned() && id.get<std::uint64_t>() <= INT32_MAX;
  return is_token ? std::optional(id.get<int>()) : std::nullopt;
}

}  // namespace

bool is_gguf_name(const std::string& path) {
  return path.ends_with(".gguf");
}

ModelDirectory find_model(const std::string& path) {
  if (!path_exists(path)) {
    throw Error(ErrorKind::kConfig, "does not exist", path, "paths are relative to the sweep file");
  }
  if (!path_is_directory(path)) {
    if (!is_gguf_name(path)) {
      throw Error(ErrorKind::kConfig, "is a file, but no .gguf file", path,
                  "give the directory of a model");
    }
    return {ModelKind::kGguf, {path}, path};
  }
  if (path_exists(path + "/checkpoint.h5")) {
    require_file(path + "/tokenizer.json", path, "a checkpoint directory holds its tokenizer");
    return {ModelKind::kCheckpoint, {path + "/checkpoint.h5"}, path + "/tokenizer.json"};
  }
  if (path_exists(path + "/adapter_config.json") && !path_exists(path + "/config.json")) {
    throw Error(ErrorKind::kConfig, "holds an adapter, not a model", path,
                "give the model it belongs to as base.model, and this directory as base.adapter");
  }
  require_file(path + "/config.json", path,
               "a model is a directory with config.json, *.safetensors and tokenizer.json, a .gguf "
               "file, or a directory with checkpoint.h5");
  return hugging_face(path);
}

config::ModelConfig read_model_config(const std::string& path) {
  return model_config_from_json(read_json(path), path);
}

std::vector<std::string> adapter_files(const std::string& directory) {
  const std::string config = directory + "/adapter_config.json";
  const std::string weights = directory + "/adapter_model.safetensors";
  require_file(config, directory, "an adapter is a directory that PEFT's save_pretrained wrote");
  require_file(weights, directory,
               path_exists(directory + "/adapter_model.bin")
                   ? "adapter_model.bin is not read: save the adapter as safetensors"
                   : "get the adapter's files again");
  return {config, weights};
}

ModelEnd find_model_end(const std::string& directory) {
  ModelEnd end;
  const std::string named = directory + "/tokenizer_config.json";
  if (path_exists(named)) {
    const nlohmann::json json = read_json(named);
    const auto token = json.is_object() ? json.find("eos_token") : json.end();
    if (token != json.end()) {
      const nlohmann::json& text = token->is_object() ? token->value("content", *token) : *token;
      if (text.is_string()) {
        end.token = text.get<std::string>();
      }
    }
  }
  for (const char* name : {"/generation_config.json", "/config.json"}) {
    end.id = end.id ? end.id : end_id(directory + name);
  }
  return end;
}

void set_model_end(const std::string& directory, config::DataRules& rules) {
  const ModelEnd end = find_model_end(directory);
  if (end.token) {
    rules.set_model_end(*end.token);
  } else if (end.id) {
    rules.set_model_end_id(*end.id);
  }
}

void set_model_source(const std::string& path, const std::string& adapter, const ContentHash& hash,
                      config::ModelSource& model, config::TokenizerSource& tokenizer,
                      config::DataRules& rules) {
  const auto set = [&](const std::string& name, config::FileRef& ref) {
    ref.set_path(name);
    ref.set_content(hash(name));
  };
  const ModelDirectory found = find_model(path);
  set(found.tokenizer, *tokenizer.mutable_file());
  if (found.kind != ModelKind::kGguf) {
    set_model_end(path, rules);
  } else if (const auto end = read_gguf_summary(path).end) {
    rules.set_model_end(*end);
  }
  if (found.kind == ModelKind::kCheckpoint) {
    return set(found.files.front(), *model.mutable_checkpoint());
  }
  config::ModelFiles& files = *model.mutable_files();
  for (const std::string& name : found.files) {
    set(name, *files.add_files());
  }
  if (!adapter.empty()) {
    for (const std::string& name : adapter_files(adapter)) {
      set(name, *files.add_adapter());
    }
  }
}

}  // namespace finescale
