// SPDX-License-Identifier: Apache-2.0
#include "worker/export/hf_files.h"

#include <array>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/gguf.h"
#include "configs/decoder.h"
#include "configs/model_directory.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/data/end_tokens.h"
#include "worker/data/gguf_side_files.h"
#include "worker/data/tokenizer.h"
#include "worker/data/tokenizer_file.h"

namespace finescale {

namespace {

// Beside config.json, tokenizer.json and the weights.
constexpr std::array kSideFiles = {"generation_config.json",
                                   "tokenizer_config.json",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "chat_template.jinja",
                                   "chat_template.json",
                                   "vocab.json",
                                   "merges.txt",
                                   "tokenizer.model"};

const char* type_word(StoredType type) {
  switch (type) {
    case StoredType::kF32:
      return "float32";
    case StoredType::kF64:
      return "float64";
    case StoredType::kF16:
      return "float16";
    case StoredType::kBf16:
      return "bfloat16";
  }
  return "";
}

// The model's own config.json when it came with one: fine-tuning changes no shape. Older programs
// know the type of the weights as torch_dtype, newer ones as dtype.
nlohmann::json config_json(const OpenedModel& model, StoredType type, const Tokenizer& tokenizer) {
  nlohmann::json json;
  const std::string own = model.files_directory + "/config.json";
  if (!model.files_directory.empty() && path_exists(own)) {
    json = nlohmann::json::parse(read_file(own));
    json[json.contains("torch_dtype") ? "torch_dtype" : "dtype"] = type_word(type);
    return json;
  }
  json = model_config_to_json(model.config);
  json["torch_dtype"] = type_word(type);
  try {
    json["eos_token_id"] = end_tokens(model.rules, tokenizer).response;
  } catch (const Error&) {  // other programs then ask the user
    json.erase("eos_token_id");
  }
  return json;
}

void copy_listed(const OpenedModel& model, const std::string& directory) {
  if (is_gguf_name(model.files_directory)) {
    const auto file = open_gguf(model.files_directory);
    for (const auto& [name, text] : gguf_side_files(file->metadata())) {
      write_file_atomically(directory + "/" + name, text);
    }
    return;
  }
  for (const char* name : kSideFiles) {
    const std::string from = model.files_directory + "/" + name;
    if (!model.files_directory.empty() && path_exists(from)) {
      write_file_atomically(directory + "/" + name, read_file(from));
    }
  }
}

}  // namespace

void copy_side_files(const OpenedModel& model, const std::string& directory) {
  const std::string config = model.files_directory + "/config.json";
  if (!model.files_directory.empty() && path_exists(config)) {
    write_file_atomically(directory + "/config.json", read_file(config));
  } else if (is_gguf_name(model.files_directory)) {
    write_file_atomically(directory + "/config.json",
                          model_config_to_json(model.config).dump(2) + "\n");
  }
  write_file_atomically(directory + "/tokenizer.json", read_tokenizer_text(model.tokenizer));
  copy_listed(model, directory);
}

void write_hf_files(const OpenedModel& model, StoredType type, const std::string& directory) {
  const std::string text = read_tokenizer_text(model.tokenizer);
  const Tokenizer tokenizer = Tokenizer::from_json(text, model.tokenizer);
  const nlohmann::json config = config_json(model, type, tokenizer);
  write_file_atomically(directory + "/config.json", config.dump(2) + "\n");
  write_file_atomically(directory + "/tokenizer.json", text);
  copy_listed(model, directory);
  const std::string named = directory + "/tokenizer_config.json";
  if (!path_exists(named)) {
    nlohmann::json json = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
    if (config.contains("eos_token_id") && config["eos_token_id"].is_number_integer()) {
      json["eos_token"] =
          tokenizer.decode({config["eos_token_id"].get<std::int32_t>()}, /*skip_special=*/false);
    }
    write_file_atomically(named, json.dump(2) + "\n");
  }
}

}  // namespace finescale
