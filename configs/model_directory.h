// SPDX-License-Identifier: Apache-2.0
// What lies at base.model: which of the files make the model, without reading weights.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "configs/stages.h"

namespace finescale {

enum class ModelKind { kCheckpoint, kHuggingFace, kGguf };

struct ModelDirectory {
  ModelKind kind = ModelKind::kCheckpoint;
  std::vector<std::string> files;  // checkpoint.h5 | config.json, weights | the .gguf file
  std::string tokenizer;           // tokenizer.json, or the .gguf file
};

// Throws kConfig, the place being the path, when no model is there or a part of it is missing.
[[nodiscard]] ModelDirectory find_model(const std::string& path);
// A model's config.json. Throws kConfig naming the file and the key.
[[nodiscard]] config::ModelConfig read_model_config(const std::string& path);
// adapter_config.json and adapter_model.safetensors. Throws kConfig.
[[nodiscard]] std::vector<std::string> adapter_files(const std::string& directory);
[[nodiscard]] bool is_gguf_name(const std::string& path);

// The token that ends a text, as tokenizer_config.json names it, else as generation_config.json or
// config.json number it; absent members: nothing says it.
struct ModelEnd {
  std::optional<std::string> token;
  std::optional<int> id;
};
[[nodiscard]] ModelEnd find_model_end(const std::string& directory);
void set_model_end(const std::string& directory, config::DataRules& rules);

// Sets model and tokenizer to what lies at `path`, and what ends the model's texts in `rules`.
void set_model_source(const std::string& path, const std::string& adapter, const ContentHash& hash,
                      config::ModelSource& model, config::TokenizerSource& tokenizer,
                      config::DataRules& rules);

}  // namespace finescale
