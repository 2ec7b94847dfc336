// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a model by the file that holds it: tokenizer.json, or a .gguf file.
#pragma once

#include <string>

#include "configs/schema/stage.pb.h"
#include "worker/data/tokenizer.h"

namespace finescale {

// As text in the layout of tokenizer.json.
[[nodiscard]] std::string read_tokenizer_json(const std::string& path);
[[nodiscard]] Tokenizer load_tokenizer(const std::string& path);
// The rules with the end of the model's texts, where only the tokenizer's file says it.
[[nodiscard]] config::DataRules complete_rules(const config::DataRules& rules,
                                               const std::string& tokenizer_path);

}  // namespace finescale
