// SPDX-License-Identifier: Apache-2.0
// An example as a file gives it, before any tokenizer: one of four forms.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace finescale {

enum class ExampleForm { kText, kPromptResponse, kMessages, kPreference };
inline constexpr std::size_t kNumForms = 4;
using FormCounts = std::array<std::int64_t, kNumForms>;  // examples of each

// NOLINTNEXTLINE(bugprone-exception-escape): a move of JSON checks itself and would throw
struct RawExample {
  ExampleForm form = ExampleForm::kText;
  std::string prompt;
  std::string response;     // or the text; of a preference the chosen answer
  std::string rejected;     // of a preference
  std::string expected;     // beside an answer of a model: the response of the data; else empty
  std::string problem;      // what a task's verifier reads, where it is not the prompt; else empty
  std::int32_t stream = 0;  // of a mixture of separate streams, from 1; 0: none
  double loss_weight = 1;   // of its tokens in the loss, beside those of others
  std::optional<double> loss;       // of a score stage: mean over the labelled tokens
  nlohmann::ordered_json messages;  // keys in the order of the file: templates print them
  nlohmann::ordered_json tools;     // null: none

  // The prompt as the task drew it.
  [[nodiscard]] const std::string& verified_prompt() const noexcept {
    return problem.empty() ? prompt : problem;
  }
};

// Why a record is no example.
struct BadExample {
  std::string why;
};

inline constexpr const char* kForms =
    R"({"prompt", "response"}, {"text"}, {"messages"} or {"prompt", "chosen", "rejected"})";

// {prompt, response}
[[nodiscard]] const char* form_name(ExampleForm form);
// "1200 of {prompt, response}, 3 of {text}"
[[nodiscard]] std::string describe(const FormCounts& counts);
// The columns that files between stages have.
[[nodiscard]] nlohmann::ordered_json row_of(const RawExample& example);
// Throws BadExample.
[[nodiscard]] RawExample raw_example(nlohmann::ordered_json&& record);

}  // namespace finescale
