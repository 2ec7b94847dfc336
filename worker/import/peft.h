// SPDX-License-Identifier: Apache-2.0
// Adapter directories of the PEFT library: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <string>

#include "worker/import/adapter.h"

namespace finescale {

// LoRA (rsLoRA, patterns of ranks and alphas), DoRA, IA3, VeRA, prompt and prefix tuning for a
// model of this config. Throws kConfig naming the key of adapter_config.json that asks for
// something else, kData for tensors that are missing, have the wrong shape, or belong to a module
// that the model lacks.
[[nodiscard]] Adapter read_peft(const std::string& directory, const config::ModelConfig& config);

// The model that the adapter says it was trained on: a directory that is there, made absolute.
// Throws kConfig when there is none.
[[nodiscard]] std::string peft_base(const std::string& directory);

// The same kinds, into a directory that exists. `base` becomes base_model_name_or_path; empty:
// nothing is known. Throws kConfig for what the layout cannot say: a mixture of kinds, or a family
// that packs several of our matrices into one.
void write_peft(const Adapter& adapter, const config::ModelConfig& config, const std::string& base,
                const std::string& directory);

// Prompt and prefix tuning, which have one tensor each: called by the two above.
[[nodiscard]] Adapter read_peft_tokens(const std::string& directory, bool is_prefix,
                                       const config::ModelConfig& config);
void write_peft_tokens(const Adapter& adapter, const config::ModelConfig& config,
                       const std::string& base, const std::string& directory);

}  // namespace finescale
