// SPDX-License-Identifier: Apache-2.0
#include "worker/data/gguf_pretokenizers.h"

#include <algorithm>
#include <optional>

namespace finescale {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<GgufPreTokenizer>& known_pretokenizers() {
  static const std::vector<GgufPreTokenizer> kinds = {
      {.names = {"gpt-2", "phi-2", "olmo", "mpt"}, .pattern = {}},
      {.names = {"smollm", "starcoder", "refact"}, .pattern = {}, .digits = true},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3"},
       .pattern = kLlama3Pattern,
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"qwen2", "deepseek-r1-qwen"}, .pattern = kQwen2Pattern, .nfc = true},
  };
  return kinds;
}

Json byte_level_json(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

// What a chain of pre-tokenizers does, as far as the table can say it.
struct Cuts {
  std::string pattern;
  bool digits = false;
  bool byte_level = false;
};

bool add_cut(const Json& node, Cuts& cuts) {
  const std::string type = node.value("type", "");
  if (cuts.byte_level) {
    return false;  // it comes last
  }
  if (type == "Digits") {
    const bool first = !cuts.digits && cuts.pattern.empty();
    cuts.digits = true;
    return first && node.value("individual_digits", false);
  }
  if (type == "ByteLevel") {
    cuts.byte_level = true;
    return !node.value("add_prefix_space", true) &&
           node.value("use_regex", true) == cuts.pattern.empty();
  }
  if (type == "Split" && cuts.pattern.empty()) {
    const std::string behavior = node.value("behavior", "");
    const Json pattern = node.value("pattern", Json::object());
    cuts.pattern = pattern.value("Regex", "");
    return !cuts.pattern.empty() &&
           (behavior == "Isolated" || (behavior == "Removed" && node.value("invert", false)));
  }
  return false;
}

std::optional<Cuts> cuts_of(const Json& pre_tokenizer) {
  Cuts cuts;
  if (!pre_tokenizer.is_object()) {
    return std::nullopt;
  }
  if (pre_tokenizer.value("type", "") != "Sequence") {
    return add_cut(pre_tokenizer, cuts) && cuts.byte_level ? std::optional(cuts) : std::nullopt;
  }
  for (const Json& node : pre_tokenizer.value("pretokenizers", Json::array())) {
    if (!add_cut(node, cuts)) {
      return std::nullopt;
    }
  }
  return cuts.byte_level ? std::optional(cuts) : std::nullopt;
}

}  // namespace

const GgufPreTokenizer* find_pre_tokenizer(std::string_view name) {
  for (const GgufPreTokenizer& pre : known_pretokenizers()) {
    if (std::find(pre.names.begin(), pre.names.end(), name) != pre.names.end()) {
      return &pre;
    }
  }
  return nullptr;
}

const GgufPreTokenizer* match_pre_tokenizer(const Json& pre_tokenizer) {
  if (const std::optional<Cuts> cuts = cuts_of(pre_tokenizer)) {
    for (const GgufPreTokenizer& pre : known_pretokenizers()) {
      if (pre.pattern == cuts->pattern && pre.digits == cuts->digits) {
        return &pre;
      }
    }
  }
  return nullptr;
}

std::string pre_tokenizer_names() {
  std::string names;
  for (const GgufPreTokenizer& pre : known_pretokenizers()) {
    for (const std::string_view name : pre.names) {
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
  }
  return names;
}

Json pre_tokenizer_json(const GgufPreTokenizer& pre) {
  if (pre.digits) {
    const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
    return {{"type", "Sequence"}, {"pretokenizers", {digits, byte_level_json(true)}}};
  }
  if (pre.pattern.empty()) {
    return byte_level_json(true);
  }
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", pre.pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level_json(false)}}};
}

Json normalizer_json(const GgufPreTokenizer& pre) {
  return pre.nfc ? Json{{"type", "NFC"}} : Json();
}

}  // namespace finescale
