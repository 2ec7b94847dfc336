// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says about its model beside the weights, in finescale's terms.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/gguf.h"
#include "configs/schema/model.pb.h"
#include "worker/import/weight_source.h"

namespace finescale {

// Architectures llama, qwen2, qwen3, gemma, gpt2, gptneox, phi2. Throws kData for what is missing
// or damaged, kConfig naming the key or tensor that would change the result and is not supported.
[[nodiscard]] config::ModelConfig model_config_from_gguf(const GgufFile& file);
// Its weights under logical names.
[[nodiscard]] std::unique_ptr<WeightSource> open_gguf_source(const std::string& path);

// Empty when the file has none.
[[nodiscard]] std::string chat_template_from_gguf(const GgufMetadata& metadata);
// bos_token_id, eos_token_id (a list when turns end otherwise than texts), pad_token_id.
[[nodiscard]] nlohmann::json gguf_generation_config(const GgufMetadata& metadata);
// tokenizer_config.json: the special tokens by their texts, and the chat template.
[[nodiscard]] nlohmann::json gguf_tokenizer_config(const GgufMetadata& metadata);

// The files beside config.json and tokenizer.json that a Hugging Face directory of this model would
// have: names and texts.
[[nodiscard]] std::map<std::string, std::string> gguf_side_files(const GgufFile& file);

}  // namespace finescale
