// SPDX-License-Identifier: Apache-2.0
// tokenizer.json to GGUF keys.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "worker/data/gguf_pretokenizers.h"
#include "worker/data/gguf_tokenizer.h"

namespace finescale {

namespace {

using Json = nlohmann::json;

[[noreturn]] void unsupported(const std::string& what, const std::string& where) {
  throw Error(ErrorKind::kData, "tokenizer: GGUF has no word for " + what, where,
              "export with --format hf");
}

struct Tokens {
  std::vector<std::string> texts;  // by id
  std::vector<std::int32_t> types;
};

// A piece such as <0x0A>.
bool is_byte_piece(const std::string& text) {
  return text.size() == 6 && text.starts_with("<0x") && text.back() == '>' &&
         text.find_first_not_of("0123456789ABCDEF", 3) == 5;
}

void set_token(Tokens& tokens, std::int64_t id, const std::string& text, GgufTokenType type,
               const std::string& where) {
  if (id < 0 || id >= static_cast<std::int64_t>(tokens.texts.size())) {
    throw Error(ErrorKind::kData,
                "tokenizer: token \"" + text + "\" has id " + std::to_string(id) +
                    ", but the model's embedding has " + std::to_string(tokens.texts.size()) +
                    " rows",
                where);
  }
  tokens.texts[static_cast<std::size_t>(id)] = text;
  tokens.types[static_cast<std::size_t>(id)] = static_cast<std::int32_t>(type);
}

// Rows of the embedding beyond the vocabulary get names too: GGUF wants one for each.
Tokens tokens_of(const Json& document, const std::string& where, std::int64_t vocab_size) {
  Tokens tokens;
  for (std::int64_t id = 0; id < vocab_size; ++id) {
    tokens.texts.push_back("[PAD" + std::to_string(id) + "]");
    tokens.types.push_back(static_cast<std::int32_t>(GgufTokenType::kUnused));
  }
  const Json& model = document.at("model");
  const bool bytes = model.value("byte_fallback", false);
  const Json unknown = model.value("unk_token", Json());
  for (const auto& [text, id] : model.at("vocab").items()) {
    const GgufTokenType type = bytes && is_byte_piece(text)             ? GgufTokenType::kByte
                               : unknown.is_string() && unknown == text ? GgufTokenType::kUnknown
                                                                        : GgufTokenType::kNormal;
    set_token(tokens, id.get<std::int64_t>(), text, type, where);
  }
  for (const Json& added : document.value("added_tokens", Json::array())) {
    const std::string text = added.at("content");
    for (const char* option : {"single_word", "lstrip", "rstrip"}) {
      if (added.value(option, false)) {
        unsupported("the added token " + text + " with " + option, where);
      }
    }
    const bool is_unknown = unknown.is_string() && unknown == text;
    set_token(tokens, added.at("id").get<std::int64_t>(), text,
              is_unknown                      ? GgufTokenType::kUnknown
              : added.value("special", false) ? GgufTokenType::kControl
                                              : GgufTokenType::kUserDefined,
              where);
  }
  return tokens;
}

std::vector<std::string> merges_of(const Json& model) {
  std::vector<std::string> merges;
  for (const Json& merge : model.at("merges")) {
    merges.push_back(merge.is_array()
                         ? merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>()
                         : merge.get<std::string>());
  }
  return merges;
}

void add_byte_level_keys(const Json& document, const std::string& where, GgufKeys& keys) {
  const Json normalizer = document.value("normalizer", Json());
  if (!normalizer.is_null() && normalizer.value("type", "") != "NFC") {
    unsupported("the normalizer " + normalizer.value("type", "?"), where);
  }
  const GgufPreTokenizer* pre = match_pre_tokenizer(document.value("pre_tokenizer", Json()));
  if (pre == nullptr) {
    unsupported("its pre_tokenizer (it has for " + pre_tokenizer_names() + ")", where);
  }
  keys.add_text("tokenizer.ggml.model", "gpt2");
  keys.add_text("tokenizer.ggml.pre", pre->names.front());
  keys.add_texts("tokenizer.ggml.merges", merges_of(document.at("model")));
}

// Pieces are joined best score first: a piece scores minus the rank of the first merge that makes
// it, one that no merge makes less than all.
std::vector<float> scores_of(const Json& model, const Tokens& tokens) {
  std::unordered_map<std::string, float> rank;
  float next = 0;
  for (const std::string& merge : merges_of(model)) {
    std::string joined = merge;
    joined.erase(merge.find(' ', 1), 1);
    if (rank.emplace(joined, next).second) {
      next += 1;
    }
  }
  std::vector<float> scores;
  for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
    const auto found = rank.find(tokens.texts[id]);
    const bool normal = tokens.types[id] == static_cast<std::int32_t>(GgufTokenType::kNormal);
    scores.push_back(!normal ? 0 : found == rank.end() ? -next : -found->second);
  }
  return scores;
}

bool mentions(const Json& node, const std::string& type) {
  if (node.is_object() && node.value("type", "") == type) {
    return true;
  }
  return (node.is_object() || node.is_array()) &&
         std::any_of(node.begin(), node.end(),
                     [&](const Json& child) { return mentions(child, type); });
}

void add_sentencepiece_keys(const Json& document, const std::string& where, const Tokens& tokens,
                            GgufKeys& keys) {
  const Json normalizer = document.value("normalizer", Json());
  const Json pre = document.value("pre_tokenizer", Json());
  const bool metaspace = pre.is_object() && pre.value("type", "") == "Metaspace";
  const bool plain = normalizer.is_null() || mentions(normalizer, "Replace");
  if (!(metaspace || (pre.is_null() && plain)) || mentions(normalizer, "Precompiled")) {
    unsupported("the way this tokenizer treats spaces", where);
  }
  keys.add_text("tokenizer.ggml.model", "llama");
  keys.add_text("tokenizer.ggml.pre", "default");
  keys.add_flag("tokenizer.ggml.add_space_prefix",
                metaspace ? pre.value("prepend_scheme", "always") != "never"
                          : mentions(normalizer, "Prepend"));
  keys.add_numbers("tokenizer.ggml.scores", scores_of(document.at("model"), tokens));
}

// Whether the post-processor puts the token `id` at that end of a text.
bool template_has(const Json& document, std::int64_t id, bool front) {
  const Json post = document.value("post_processor", Json());
  if (!post.is_object()) {
    return false;
  }
  if (post.value("type", "") == "Sequence") {
    for (const Json& one : post.value("processors", Json::array())) {
      if (template_has({{"post_processor", one}}, id, front)) {
        return true;
      }
    }
    return false;
  }
  const Json single = post.value("single", Json::array());
  if (post.value("type", "") != "TemplateProcessing" || single.empty()) {
    return false;
  }
  const Json end = front ? single.front() : single.back();
  if (!end.contains("SpecialToken")) {
    return false;
  }
  const Json& ids = post.at("special_tokens").at(end.at("SpecialToken").at("id")).at("ids");
  return ids.size() == 1 && ids.front() == id;
}

void add_special_keys(const Json& document, const GgufSpecialTokens& special, GgufKeys& keys) {
  const auto add = [&](const char* key, std::optional<std::int64_t> id) {
    if (id) {
      keys.add_count(key, *id);
    }
  };
  add("tokenizer.ggml.bos_token_id", special.bos);
  add("tokenizer.ggml.eos_token_id", special.eos);
  add("tokenizer.ggml.eot_token_id", special.end_of_turn);
  add("tokenizer.ggml.unknown_token_id", special.unknown);
  add("tokenizer.ggml.padding_token_id", special.padding);
  keys.add_flag("tokenizer.ggml.add_bos_token",
                special.bos && template_has(document, *special.bos, true));
  keys.add_flag("tokenizer.ggml.add_eos_token",
                special.eos && template_has(document, *special.eos, false));
}

}  // namespace

void add_tokenizer_keys(std::string_view tokenizer_json, const std::string& where,
                        std::int64_t vocab_size, const GgufSpecialTokens& special, GgufKeys& keys) {
  try {
    const Json document = Json::parse(tokenizer_json);
    const Json& model = document.at("model");
    if (model.value("type", "BPE") != "BPE") {
      unsupported("a tokenizer of kind " + model.value("type", "?"), where);
    }
    const Tokens tokens = tokens_of(document, where, vocab_size);
    if (model.value("byte_fallback", false)) {
      add_sentencepiece_keys(document, where, tokens, keys);
    } else {
      add_byte_level_keys(document, where, keys);
    }
    keys.add_texts("tokenizer.ggml.tokens", tokens.texts);
    keys.add_integers("tokenizer.ggml.token_type", tokens.types);
    add_special_keys(document, special, keys);
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kData, std::string("tokenizer.json: ") + error.what(), where);
  }
}

}  // namespace finescale
