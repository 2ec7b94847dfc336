// SPDX-License-Identifier: Apache-2.0
// A model that a command was given by name, on this process alone: weights with the adapter merged
// in or beside them, tokenizer, and how it wants to be asked. No MPI.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/gpu.h"
#include "worker/data/chat_template.h"
#include "worker/data/tokenizer.h"
#include "worker/eval/sampler.h"
#include "worker/import/open_model.h"
#include "worker/import/side_files.h"
#include "worker/measured_model.h"
#include "worker/single_engine.h"

namespace finescale {

// How prompts of a model are written and what ends its answers.
struct PromptForm {
  bool is_data = false;                    // as in the data that it was trained on here
  std::optional<std::int32_t> prompt_end;  // follows such a prompt
  std::vector<std::int32_t> stop_tokens;
  SamplingOptions sampling;  // unless the command says otherwise
};

class PromptedModel {
 public:
  // What open_model() and gpu_for() take. Throws kConfig, kData or kDevice.
  explicit PromptedModel(const std::string& path, const std::string& device = "cpu");
  ~PromptedModel() = default;
  PromptedModel(const PromptedModel&) = delete;
  PromptedModel& operator=(const PromptedModel&) = delete;

  [[nodiscard]] EvalModel& eval() noexcept { return model_->eval(); }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return *tokenizer_; }
  [[nodiscard]] const PromptForm& form() const noexcept { return form_; }
  [[nodiscard]] bool has_chat() const noexcept { return chat_.has_value(); }
  [[nodiscard]] std::int64_t max_positions() const;
  // As the model was trained on prompts, with prompt_end unless raw; as running text with what the
  // tokenizer puts in front. Throws kData for a prompt without tokens.
  [[nodiscard]] std::vector<std::int32_t> prompt_tokens(const std::string& prompt, bool raw) const;
  // Messages through the chat template, up to where the answer begins.
  [[nodiscard]] std::vector<std::int32_t> chat_tokens(const nlohmann::ordered_json& messages) const;
  // The same ids. Throws kData naming one that the model does not have.
  [[nodiscard]] std::vector<std::int32_t> known_tokens(std::vector<std::int32_t> ids) const;

 private:
  void open_form(const OpenedModel& opened);
  void open_chat(const config::DataRules& rules, const SideFiles& files);

  std::unique_ptr<Gpu> gpu_;  // null: the CPU
  SingleEngine single_;
  Engine engine_;
  std::unique_ptr<MeasuredModel> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  PromptForm form_;
  std::optional<ChatTemplate> chat_;
  ChatTokens chat_tokens_;
};

}  // namespace finescale
