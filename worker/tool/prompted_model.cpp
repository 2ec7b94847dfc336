// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/prompted_model.h"

#include <filesystem>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "configs/canonical.h"
#include "core/error.h"
#include "worker/data/end_tokens.h"
#include "worker/import/open_model.h"
#include "worker/resident.h"

namespace finescale {

namespace {

// Of the data that an artifact was trained on. A pretrained base has read running text.
PromptForm trained_form(Group& group, const std::string& directory, const Tokenizer& tokenizer) {
  config::StageSpec stage;
  parse_canonical(CheckpointReader(group, directory + "/checkpoint.h5").state().stage_text, stage);
  const config::DataRules& rules = stage.train().rules();
  PromptForm form;
  if (stage.label() != "pretrain") {
    form.prompt_end = end_tokens(rules, tokenizer).prompt;
  }
  form.stop_tokens.push_back(end_tokens(rules, tokenizer).response);
  return form;
}

}  // namespace

PromptedModel::PromptedModel(const std::string& path) {
  OpenedModel opened = open_model(path);
  if (!opened.checkpoint.empty()) {
    open_artifact(std::filesystem::path(opened.checkpoint).parent_path().string());
    return;
  }
  const std::unique_ptr<WeightSource> weights = merged_weights(opened);
  auto base = std::make_shared<BaseModel>(
      make_base_model(single_.engine(), weights->config(), DType::kF32));
  read_base(*weights, *base);
  model_ = std::make_unique<MeasuredModel>(single_.engine(), AdaptedModel{base, {}});
  tokenizer_ = std::make_shared<const Tokenizer>(Tokenizer::load(opened.tokenizer));
  form_.stop_tokens.push_back(end_tokens(opened.rules, *tokenizer_).response);
  form_.parses_special = true;  // prompts of published models are written with them
}

void PromptedModel::open_artifact(const std::string& path) {
  const Manifest manifest = read_manifest(path);
  InputDirs places = {{manifest.key, path}};
  if (!manifest.base_key.empty()) {  // artifacts of a campaign lie side by side
    places[manifest.base_key] =
        (std::filesystem::absolute(path).parent_path() / manifest.base_key).string();
  }
  Resident resident(single_.group(), {});
  config::ModelSource source;
  source.set_artifact(manifest.key);
  model_ = std::make_unique<MeasuredModel>(
      single_.engine(), resident.adapted(single_.engine(), source, DType::kF32, places));
  tokenizer_ = std::make_shared<const Tokenizer>(Tokenizer::load(path + "/tokenizer.json"));
  form_ = trained_form(single_.group(), path, *tokenizer_);
}

std::vector<std::int32_t> PromptedModel::prompt_tokens(const std::string& prompt, bool raw) const {
  std::vector<std::int32_t> tokens =
      form_.parses_special ? tokenizer_->encode(prompt) : tokenizer_->encode_ordinary(prompt);
  if (!raw && form_.prompt_end) {
    tokens.push_back(*form_.prompt_end);
  }
  if (tokens.empty()) {
    throw Error(ErrorKind::kData, "the prompt is empty", {}, "give at least one token to continue");
  }
  return known_tokens(std::move(tokens));  // a tokenizer may have more than the model
}

std::vector<std::int32_t> PromptedModel::known_tokens(std::vector<std::int32_t> ids) const {
  const auto size = model_->eval().pieces().front().model->layout().shape().vocab_size;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= size) {
      throw Error(ErrorKind::kData, "the model has no token " + std::to_string(id), {},
                  "its vocabulary has " + std::to_string(size));
    }
  }
  return ids;
}

}  // namespace finescale
