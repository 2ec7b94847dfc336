// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/prompted_model.h"

#include <algorithm>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "configs/canonical.h"
#include "core/error.h"
#include "worker/data/chat_format.h"
#include "worker/data/end_tokens.h"
#include "worker/data/tokenizer_file.h"
#include "worker/tool/adapted_model.h"
#include "worker/tool/tool_gpu.h"

namespace finescale {

namespace {

void add_stop(const std::optional<std::int32_t>& token, std::vector<std::int32_t>& stops) {
  if (token && std::find(stops.begin(), stops.end(), *token) == stops.end()) {
    stops.push_back(*token);
  }
}

// As transformers' generate takes generation_config.json: rules of sampling hold when it says
// do_sample, and then top-k is 50 unless it says otherwise.
SamplingOptions sampling_of(const SideFiles& files) {
  SamplingOptions sampling;
  sampling.repetition_penalty = files.repetition_penalty.value_or(1);
  if (files.do_sample.value_or(false)) {
    sampling.temperature = files.temperature.value_or(1);
    sampling.top_k = files.top_k.value_or(50);
    sampling.top_p = files.top_p.value_or(1);
    sampling.min_p = files.min_p.value_or(0);
  }
  return sampling;
}

// The stage that left a checkpoint; nothing of one that was imported.
std::optional<config::StageSpec> stage_of(Group& group, const std::string& checkpoint) {
  if (checkpoint.empty()) {
    return std::nullopt;
  }
  const std::string text = CheckpointReader(group, checkpoint).state().stage_text;
  if (text.empty()) {
    return std::nullopt;
  }
  config::StageSpec stage;
  parse_canonical(text, stage);
  return stage;
}

}  // namespace

PromptedModel::PromptedModel(const std::string& path, const std::string& device) {
  OpenedModel opened = open_model(path);
  gpu_ = gpu_for(opened, device);
  engine_ = engine_on(single_, gpu_);
  tokenizer_ = std::make_shared<const Tokenizer>(
      Tokenizer::from_json(read_tokenizer_text(opened.tokenizer), opened.tokenizer));
  open_form(opened);
  model_ = std::make_unique<MeasuredModel>(engine_,
                                           adapted_model(engine_, opened, ModelUse::kGenerates));
}

void PromptedModel::open_form(const OpenedModel& opened) {
  const SideFiles files = read_side_files(opened.files_directory);
  form_.sampling = sampling_of(files);
  form_.stop_tokens = files.eos_ids;
  if (const auto stage = stage_of(single_.group(), opened.checkpoint);
      stage && stage->has_train()) {
    const EndTokens ends = end_tokens(opened.rules, *tokenizer_);
    form_.is_data = true;
    if (stage->label() != "pretrain") {  // a base that was trained first has read running text
      form_.prompt_end = ends.prompt;
    }
    add_stop(ends.response, form_.stop_tokens);
  }
  if (files.eos_token) {
    add_stop(tokenizer_->token_id(*files.eos_token), form_.stop_tokens);
  }
  open_chat(opened.rules, files);
}

// The template of the data that it was trained on, else the one that came with it.
void PromptedModel::open_chat(const config::DataRules& rules, const SideFiles& files) {
  if (auto format = load_chat_format(rules, *tokenizer_)) {
    chat_.emplace(std::move(format->chat));
    chat_tokens_ = std::move(format->tokens);
    return;
  }
  if (!files.chat_template) {
    return;
  }
  chat_.emplace(ChatTemplate::parse(*files.chat_template, files.chat_template_place));
  if (files.bos_token) {
    chat_tokens_.named.emplace_back("bos_token", *files.bos_token);
  }
  if (files.eos_token) {
    chat_tokens_.named.emplace_back("eos_token", *files.eos_token);
  }
}

std::int64_t PromptedModel::max_positions() const {
  return model_->eval().pieces().front().model->num_positions();
}

std::vector<std::int32_t> PromptedModel::prompt_tokens(const std::string& prompt, bool raw) const {
  std::vector<std::int32_t> tokens;
  if (form_.is_data) {  // as its examples began
    tokens = tokenizer_->start_tokens();
    const std::vector<std::int32_t> ids = tokenizer_->encode_ordinary(prompt);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  } else {
    tokens = tokenizer_->add_special(tokenizer_->encode(prompt));
  }
  if (form_.prompt_end && !raw) {
    tokens.push_back(*form_.prompt_end);
  }
  if (tokens.empty()) {
    throw Error(ErrorKind::kData, "the prompt is empty", {}, "give at least one token to continue");
  }
  return known_tokens(std::move(tokens));  // a tokenizer may have more than the model
}

std::vector<std::int32_t> PromptedModel::chat_tokens(const nlohmann::ordered_json& messages) const {
  ChatRequest request;
  request.messages = messages;
  request.add_generation_prompt = true;
  return known_tokens(tokenizer_->encode(chat_->render(request, chat_tokens_)));
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
