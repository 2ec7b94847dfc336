// SPDX-License-Identifier: Apache-2.0
#include "worker/data/gguf_tokenizer.h"

#include <nlohmann/json.hpp>

#include "checkpoint/formats/gguf_cursor.h"
#include "core/error.h"
#include "worker/data/gguf_pretokenizers.h"

namespace finescale {

namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const GgufMetadata& metadata, const char* key, const std::string& message,
                       const std::string& hint = {}) {
  throw Error(ErrorKind::kData, "gguf: " + message, metadata.place(key), hint);
}

// Vocabulary and merges are written as text at once: as JSON values they would be a hundred
// thousand small allocations.
class TokenTexts {
 public:
  TokenTexts(const GgufMetadata& metadata, const GgufVocabulary& vocabulary)
      : metadata_(&metadata), vocabulary_(&vocabulary) {}

  [[nodiscard]] std::string quoted(std::string_view text, std::size_t index,
                                   const char* key) const {
    if (is_printable_utf8(text) && text.find_first_of("\"\\") == std::string_view::npos) {
      return '"' + std::string(text) + '"';  // nearly all: nothing to escape
    }
    try {
      return Json(text).dump();
    } catch (const Json::exception&) {
      fail(*metadata_, key, "entry " + std::to_string(index) + " is not valid UTF-8");
    }
  }

  [[nodiscard]] std::string vocab() const {
    std::string out = "{";
    for (std::size_t id = 0; id < vocabulary_->tokens.size(); ++id) {
      if (vocabulary_->in_text(id)) {
        out += out.size() > 1 ? ",\n" : "\n";
        out += token(id) + ": " + std::to_string(id);
      }
    }
    return out + "\n}";
  }

  // Tokens that are found in text whole, before anything else happens to it.
  [[nodiscard]] std::string added() const {
    std::string out = "[";
    for (std::size_t id = 0; id < vocabulary_->tokens.size(); ++id) {
      const GgufTokenType type = vocabulary_->types[id];
      const bool special = type == GgufTokenType::kControl || type == GgufTokenType::kUnknown;
      if (special || type == GgufTokenType::kUserDefined) {
        out += out.size() > 1 ? ",\n" : "\n";
        out +=
            "{\"id\": " + std::to_string(id) + ", \"content\": " + token(id) +
            R"(, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, )" +
            "\"special\": " + (special ? "true}" : "false}");
      }
    }
    return out + "\n]";
  }

  [[nodiscard]] std::string merges(const std::vector<PieceMerge>& merges) const {
    std::string out = "[";
    for (std::size_t i = 0; i < merges.size(); ++i) {
      out += i == 0 ? "\n[" : ",\n[";
      out += quoted(merges[i].left, i, "tokenizer.ggml.merges") + ", " +
             quoted(merges[i].right, i, "tokenizer.ggml.merges") + "]";
    }
    return out + "\n]";
  }

 private:
  [[nodiscard]] std::string token(std::size_t id) const {
    return quoted(vocabulary_->tokens[id], id, "tokenizer.ggml.tokens");
  }

  const GgufMetadata* metadata_;
  const GgufVocabulary* vocabulary_;
};

// Everything of a tokenizer.json but the long lists.
struct Frame {
  Json normalizer, pre_tokenizer, decoder, model;
  bool add_bos = false;
};

// BOS in front and EOS behind, where the file asks for them.
Json post_processor(const GgufMetadata& metadata, const GgufVocabulary& vocabulary, bool add_bos) {
  const GgufSpecialTokens special = read_gguf_special_tokens(metadata);
  const bool add_eos = metadata.flag("tokenizer.ggml.add_eos_token").value_or(false);
  add_bos = metadata.flag("tokenizer.ggml.add_bos_token").value_or(add_bos) && special.bos;
  Json single = Json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}});
  Json pair = Json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                           {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}});
  Json tokens = Json::object();
  const auto piece = [&](std::int64_t id) {
    const std::string text(vocabulary.tokens[static_cast<std::size_t>(id)]);
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    return Json{{"SpecialToken", {{"id", text}, {"type_id", 0}}}};
  };
  if (add_bos) {
    single.insert(single.begin(), piece(*special.bos));
    pair.insert(pair.begin(), piece(*special.bos));
  }
  if (add_eos && special.eos) {
    single.push_back(piece(*special.eos));
    pair.push_back(piece(*special.eos));
  }
  if (tokens.empty()) {
    return {};
  }
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", tokens}};
}

Json bpe_model(const Json& unknown, bool byte_fallback, bool ignore_merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", byte_fallback},
          {"byte_fallback", byte_fallback},
          {"ignore_merges", ignore_merges}};
}

// Files older than the key `pre` are of models whose tokenizer is GPT-2's, or they cannot be told.
const GgufPreTokenizer& pre_tokenizer_of(const GgufMetadata& metadata) {
  const std::optional<std::string_view> name = metadata.text("tokenizer.ggml.pre");
  if (!name || *name == "default") {
    const std::string_view architecture = metadata.text("general.architecture").value_or("");
    if (architecture == "gpt2" || architecture == "gptneox" || architecture == "phi2") {
      return *find_pre_tokenizer("gpt-2");
    }
    fail(metadata, "tokenizer.ggml.pre", "the file does not say how its tokenizer cuts text",
         "old converters left that out and the ids would be wrong: get a newer file");
  }
  const GgufPreTokenizer* pre = find_pre_tokenizer(*name);
  if (pre == nullptr) {
    fail(metadata, "tokenizer.ggml.pre",
         "pre-tokenizer " + std::string(*name) + " is not supported",
         "supported are " + pre_tokenizer_names());
  }
  return *pre;
}

std::vector<PieceMerge> listed_merges(const GgufMetadata& metadata) {
  std::vector<PieceMerge> merges;
  for (const std::string_view both : metadata.texts("tokenizer.ggml.merges")) {
    const std::size_t space = both.find(' ', 1);  // a piece may begin with a space
    if (space == std::string_view::npos || space + 1 == both.size()) {
      fail(metadata, "tokenizer.ggml.merges",
           "merge " + std::to_string(merges.size()) + " is not two pieces with a space between");
    }
    merges.push_back({both.substr(0, space), both.substr(space + 1)});
  }
  return merges;
}

Frame byte_level_frame(const GgufMetadata& metadata) {
  const GgufPreTokenizer& pre = pre_tokenizer_of(metadata);
  if (metadata.flag("tokenizer.ggml.add_space_prefix").value_or(false)) {
    fail(metadata, "tokenizer.ggml.add_space_prefix",
         "a byte-level tokenizer with a space prefix is not supported");
  }
  Frame frame;
  frame.normalizer = normalizer_json(pre);
  frame.pre_tokenizer = pre_tokenizer_json(pre);
  frame.decoder = {{"type", "ByteLevel"},
                   {"add_prefix_space", true},
                   {"trim_offsets", true},
                   {"use_regex", true}};
  frame.model = bpe_model(nullptr, false, pre.ignore_merges);
  frame.add_bos = pre.add_bos;
  return frame;
}

// Spaces become U+2581, with one in front of the text; characters without a token become bytes.
Frame sentencepiece_frame(const GgufMetadata& metadata, const GgufVocabulary& vocabulary) {
  if (vocabulary.scores.empty()) {
    fail(metadata, "tokenizer.ggml.scores", "a SentencePiece tokenizer needs scores");
  }
  if (metadata.flag("tokenizer.ggml.remove_extra_whitespaces").value_or(false)) {
    fail(metadata, "tokenizer.ggml.remove_extra_whitespaces",
         "a tokenizer that removes white space is not supported");
  }
  const std::string space = "\u2581";
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}};
  const bool prefix = metadata.flag("tokenizer.ggml.add_space_prefix").value_or(true);
  Json unknown;
  for (std::size_t id = 0; id < vocabulary.types.size() && unknown.is_null(); ++id) {
    if (vocabulary.types[id] == GgufTokenType::kUnknown) {
      unknown = vocabulary.tokens[id];
    }
  }
  Frame frame;
  frame.normalizer = replace;
  Json decoders =
      Json::array({{{"type", "Replace"}, {"pattern", {{"String", space}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}});
  if (prefix) {
    const Json prepend = {{"type", "Prepend"}, {"prepend", space}};
    frame.normalizer = {{"type", "Sequence"}, {"normalizers", {prepend, replace}}};
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  frame.decoder = {{"type", "Sequence"}, {"decoders", decoders}};
  frame.model = bpe_model(unknown, true, false);
  frame.add_bos = true;
  return frame;
}

}  // namespace

std::string tokenizer_json_from_gguf(const GgufMetadata& metadata) {
  if (const auto whole = metadata.text("tokenizer.huggingface.json")) {
    return std::string(*whole);
  }
  const GgufVocabulary vocabulary = read_gguf_vocabulary(metadata);
  const std::string_view kind = metadata.text("tokenizer.ggml.model").value_or("");
  const bool byte_level = kind == "gpt2";
  if (!byte_level && kind != "llama") {
    fail(metadata, "tokenizer.ggml.model",
         "a tokenizer of kind \"" + std::string(kind) + "\" is not supported",
         "gpt2 (byte-level BPE) and llama (SentencePiece BPE) are");
  }
  const TokenTexts texts(metadata, vocabulary);
  const std::string added = texts.added();
  const std::string vocab = texts.vocab();  // proves every token's text
  const Frame frame =
      byte_level ? byte_level_frame(metadata) : sentencepiece_frame(metadata, vocabulary);
  std::string model = frame.model.dump();
  model.pop_back();  // its closing brace
  return "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n\"added_tokens\": " +
         added + ",\n\"normalizer\": " + frame.normalizer.dump() +
         ",\n\"pre_tokenizer\": " + frame.pre_tokenizer.dump() +
         ",\n\"post_processor\": " + post_processor(metadata, vocabulary, frame.add_bos).dump() +
         ",\n\"decoder\": " + frame.decoder.dump() + ",\n\"model\": " + model +
         ",\n\"vocab\": " + vocab + ",\n\"merges\": " +
         texts.merges(byte_level ? listed_merges(metadata) : merges_of_scores(vocabulary)) + "}}\n";
}

}  // namespace finescale
