// SPDX-License-Identifier: Apache-2.0
// A model that a command was given by name, on this process alone: weights, adapter, tokenizer, and
// how it wants to be asked. No MPI.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/data/tokenizer.h"
#include "worker/eval/sampler.h"
#include "worker/measured_model.h"
#include "worker/single_engine.h"

namespace finescale {

// How prompts of a model are written and what ends its answers.
struct PromptForm {
  std::optional<std::int32_t>
      prompt_end;  // follows a prompt, as in the data that it was trained on
  std::vector<std::int32_t> stop_tokens;
  SamplingOptions sampling;     // unless the command says otherwise
  bool parses_special = false;  // special tokens that are written in a prompt are taken as such
};

class PromptedModel {
 public:
  // What open_model takes. Throws as it does.
  explicit PromptedModel(const std::string& path);
  ~PromptedModel() = default;
  PromptedModel(const PromptedModel&) = delete;
  PromptedModel& operator=(const PromptedModel&) = delete;

  [[nodiscard]] EvalModel& eval() noexcept { return model_->eval(); }
  [[nodiscard]] const Tokenizer& tokenizer() const noexcept { return *tokenizer_; }
  [[nodiscard]] const PromptForm& form() const noexcept { return form_; }
  // raw: without prompt_end. Throws kData for a prompt without tokens.
  [[nodiscard]] std::vector<std::int32_t> prompt_tokens(const std::string& prompt, bool raw) const;
  // The same ids. Throws kData naming one that the model does not have.
  [[nodiscard]] std::vector<std::int32_t> known_tokens(std::vector<std::int32_t> ids) const;

 private:
  void open_artifact(const std::string& path);

  SingleEngine single_;
  std::unique_ptr<MeasuredModel> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  PromptForm form_;
};

}  // namespace finescale
