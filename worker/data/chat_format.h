// SPDX-License-Identifier: Apache-2.0
// The chat template of a stage with the tokens that it names, from the files of its data rules.
#pragma once

#include <optional>
#include <string>

#include "configs/schema/stage.pb.h"
#include "worker/data/chat_template.h"
#include "worker/data/tokenizer.h"

namespace finescale {

struct ChatFormat {
  ChatTemplate chat;
  ChatTokens tokens;
};

// Nothing when the rules name no template. Throws kConfig or kData.
[[nodiscard]] std::optional<ChatFormat> load_chat_format(const config::DataRules& rules,
                                                         const Tokenizer& tokenizer);

// The template in a file: a tokenizer_config.json (of several the one called default), a .gguf
// file, else Jinja.
[[nodiscard]] ChatTemplate load_chat_template(const std::string& path);

// bos_token, eos_token, ... of the text of a tokenizer_config.json.
[[nodiscard]] ChatTokens named_tokens(const std::string& text, const std::string& where);
// Adds the special tokens that the template writes literally.
void add_special_tokens(const ChatTemplate& chat, const Tokenizer& tokenizer, ChatTokens& tokens);

}  // namespace finescale
