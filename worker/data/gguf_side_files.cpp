// SPDX-License-Identifier: Apache-2.0
#include "worker/data/gguf_side_files.h"

#include "worker/data/gguf_tokenizer.h"

namespace finescale {

nlohmann::json gguf_tokenizer_config(const GgufMetadata& metadata) {
  const std::vector<std::string_view> tokens = metadata.texts("tokenizer.ggml.tokens");
  const GgufSpecialTokens special = read_gguf_special_tokens(metadata);
  nlohmann::json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                           {"clean_up_tokenization_spaces", false}};
  const auto add = [&](const char* name, std::optional<std::int64_t> id) {
    if (id) {
      config[name] = tokens[static_cast<std::size_t>(*id)];
    }
  };
  add("bos_token", special.bos);
  add("eos_token", special.eos);
  add("unk_token", special.unknown);
  add("pad_token", special.padding);
  if (const std::string text = chat_template_from_gguf(metadata); !text.empty()) {
    config["chat_template"] = text;
  }
  return config;
}

std::string chat_template_from_gguf(const GgufMetadata& metadata) {
  return std::string(metadata.text("tokenizer.chat_template").value_or(""));
}

nlohmann::json gguf_generation_config(const GgufMetadata& metadata) {
  const GgufSpecialTokens special = read_gguf_special_tokens(metadata);
  nlohmann::json config = nlohmann::json::object();
  if (special.bos) {
    config["bos_token_id"] = *special.bos;
  }
  if (special.eos) {
    config["eos_token_id"] = *special.eos;
    if (special.end_of_turn && special.end_of_turn != special.eos) {
      config["eos_token_id"] = {*special.eos, *special.end_of_turn};
    }
  }
  if (special.padding) {
    config["pad_token_id"] = *special.padding;
  }
  return config;
}

std::map<std::string, std::string> gguf_side_files(const GgufMetadata& metadata) {
  using Handler = nlohmann::json::error_handler_t;
  return {{"generation_config.json", gguf_generation_config(metadata).dump(2) + "\n"},
          {"tokenizer_config.json",
           gguf_tokenizer_config(metadata).dump(2, ' ', false, Handler::replace) + "\n"}};
}

}  // namespace finescale
