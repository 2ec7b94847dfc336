// SPDX-License-Identifier: Apache-2.0
// A model by the path that a user or a stage gives: weights, tokenizer, and what lies beside them.
// One process opens it for itself; nothing here is collective.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "configs/schema/stage.pb.h"
#include "worker/import/adapter.h"
#include "worker/import/weight_source.h"

namespace finescale {

// Files of another program, as a stage names them; an adapter is merged.
[[nodiscard]] std::unique_ptr<WeightSource> open_model_files(const config::ModelFiles& files);
// The same without a look at weights: config.json, or the metadata of a .gguf file.
[[nodiscard]] config::ModelConfig model_config_of(const config::ModelFiles& files);

struct OpenedModel {
  // Of the model that computes: with an adapter, the base.
  std::unique_ptr<WeightSource> weights;
  // An adapter that was trained on it; what base.adapter names is merged already.
  std::optional<Adapter> adapter;
  config::ModelConfig config;
  std::string tokenizer;         // tokenizer.json, or the .gguf file
  config::DataRules rules;       // how the tokenizer's texts end
  std::string checkpoint;        // of an artifact: its checkpoint.h5; else empty
  std::string files_directory;   // config.json and the like of the model it began as; may be empty
  bool is_base_changed = false;  // the base is not, bit by bit, what files_directory holds
};

// A directory with config.json, a .gguf file, a checkpoint directory, the artifact of a stage
// beside those it was made from, or a PEFT directory (`base` wins over what it names). Throws
// kConfig or kData.
[[nodiscard]] OpenedModel open_model(const std::string& path, const std::string& base = {});

// The weights with the adapter, if there is one, merged. Empties `model`.
[[nodiscard]] std::unique_ptr<WeightSource> merged_weights(OpenedModel& model);

}  // namespace finescale
