// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says about the use of its model, as the files that lie beside the weights in a
// Hugging Face directory.
#pragma once

#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/gguf_metadata.h"

namespace finescale {

// Empty when the file has none.
[[nodiscard]] std::string chat_template_from_gguf(const GgufMetadata& metadata);
// bos_token_id, eos_token_id (a list when turns end otherwise than texts), pad_token_id.
[[nodiscard]] nlohmann::json gguf_generation_config(const GgufMetadata& metadata);
// tokenizer_config.json: the special tokens by their texts, and the chat template.
[[nodiscard]] nlohmann::json gguf_tokenizer_config(const GgufMetadata& metadata);
// generation_config.json and tokenizer_config.json: names and texts.
[[nodiscard]] std::map<std::string, std::string> gguf_side_files(const GgufMetadata& metadata);

}  // namespace finescale
