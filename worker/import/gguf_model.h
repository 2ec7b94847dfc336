// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says about its model beside the weights, in finescale's terms.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/formats/gguf.h"
#include "configs/schema/model.pb.h"
#include "worker/import/weight_source.h"

namespace finescale {

// Architectures llama, qwen2, qwen3, gemma, gpt2, gptneox, phi2. Throws kData for what is missing
// or damaged, kConfig naming the key or tensor that would change the result and is not supported.
[[nodiscard]] config::ModelConfig model_config_from_gguf(const GgufFile& file);
// Its weights under logical names.
[[nodiscard]] std::unique_ptr<WeightSource> open_gguf_source(const std::string& path);

}  // namespace finescale
