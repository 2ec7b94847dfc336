// SPDX-License-Identifier: Apache-2.0
// The options of generation that `generate` and `chat` have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "worker/eval/generate.h"
#include "worker/tool/prompted_model.h"

namespace finescale {

struct GenerateArguments {
  std::string model;
  std::int64_t max_new = 256;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::vector<std::string> stop_strings;
  std::vector<std::string> stop_tokens;  // by name
  bool no_stop = false;                  // leave out the model's own
  std::uint64_t seed = 1;
  int threads = 0;  // 0: all cores
  std::string device = "auto";
};

void add_generate_arguments(CLI::App& app, GenerateArguments& arguments);
// What was given, and for the rest what the model says. Throws kConfig naming a bad value.
[[nodiscard]] GenerationOptions generation_options(const GenerateArguments& arguments,
                                                   const PromptedModel& model);
// Before the model is opened.
void use_threads(const GenerateArguments& arguments);

}  // namespace finescale
