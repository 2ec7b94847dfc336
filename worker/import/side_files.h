// SPDX-License-Identifier: Apache-2.0
// What lies beside a model's weights and concerns the use of it: how a chat is written, and how it
// wants to be sampled.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace finescale {

struct SideFiles {
  std::optional<std::string> chat_template;  // chat_template.jinja, else of tokenizer_config.json
  std::string chat_template_place;           // for messages
  std::optional<std::string> bos_token, eos_token;  // of tokenizer_config.json
  std::vector<std::int32_t> eos_ids;  // of generation_config.json, else of config.json
  std::optional<double> temperature, top_p, min_p, repetition_penalty;  // generation_config.json
  std::optional<std::int32_t> top_k;
  std::optional<bool> do_sample;
};

// Of a Hugging Face directory or one made of it; empty members where nothing is said. An empty
// path has no files. Throws kData naming a file that is no JSON.
[[nodiscard]] SideFiles read_side_files(const std::string& directory);

}  // namespace finescale
