// SPDX-License-Identifier: Apache-2.0
#include "worker/data/gguf_tokenizer.h"

#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "checkpoint/formats/gguf.h"
#include "checkpoint/formats/gguf_writer.h"
#include "core/error.h"
#include "worker/data/gguf_pretokenizers.h"
#include "worker/data/tokenizer.h"

namespace finescale {
namespace {

using Json = nlohmann::json;

// A file of keys alone, and its bytes, of which the metadata are views.
struct KeyFile {
  explicit KeyFile(const GgufKeys& keys)
      : bytes(gguf_header_bytes(keys, {})), header(parse_gguf(bytes, "m.gguf")) {}
  std::string bytes;
  GgufHeader header;
};

std::string trained_json() {
  const std::vector<std::string> texts = {
      "the cat sat on the mat, and the other cats sat on the other mats: 1234 cats",
      "caf\u00e9 \u6771\u4eac \U0001f642 the mat"};
  return Tokenizer::train(texts, 300, {"<|end|>", "<|start|>"}).to_json();
}

GgufKeys keys_of(const std::string& json, std::int64_t vocab_size,
                 const GgufSpecialTokens& special = {}) {
  GgufKeys keys;
  keys.add_text("general.architecture", "llama");
  add_tokenizer_keys(json, "tokenizer.json", vocab_size, special, keys);
  return keys;
}

TEST(GgufTokenizer, ByteLevelBpeComesBackWithTheSameIds) {
  const std::string json = trained_json();
  const Tokenizer original = Tokenizer::from_json(json, "original");
  const KeyFile file(keys_of(json, 310, {.bos = 1, .eos = 0, .padding = 0}));
  const GgufMetadata& m = file.header.metadata;
  EXPECT_EQ(m.text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(m.text("tokenizer.ggml.pre"), "gpt-2");
  EXPECT_EQ(m.texts("tokenizer.ggml.tokens").size(), 310U);  // padded to the embedding
  EXPECT_EQ(m.flag("tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(read_gguf_special_tokens(m).bos, 1);
  const Tokenizer back = Tokenizer::from_json(tokenizer_json_from_gguf(m), "back");
  for (const char* text :
       {"", "the cat", " the  mats\n\n1234", "<|start|>the cat<|end|>",
        "caf\u00e9 \u6771\u4eac \U0001f642\U0001f468\u200d\U0001f469", "\xff\xfe"}) {
    EXPECT_EQ(back.encode(text), original.encode(text)) << text;
    EXPECT_EQ(back.decode(back.encode(text), false), text);
  }
  EXPECT_EQ(back.vocab_size(), original.vocab_size());
  // What was written from what was read is what was written first.
  EXPECT_EQ(keys_of(tokenizer_json_from_gguf(m), 310, read_gguf_special_tokens(m)).bytes(),
            keys_of(json, 310, {.bos = 1, .eos = 0, .padding = 0}).bytes());
}

TEST(GgufTokenizer, EveryWayToCutTextIsRecognisedAgain) {
  for (const char* name : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    const GgufPreTokenizer* pre = find_pre_tokenizer(name);
    ASSERT_NE(pre, nullptr);
    EXPECT_EQ(match_pre_tokenizer(pre_tokenizer_json(*pre)), pre) << name;
  }
  EXPECT_EQ(find_pre_tokenizer("no-such"), nullptr);
  for (const char* other :
       {R"({"type":"Whitespace"})", R"({"type":"ByteLevel","add_prefix_space":true})",
        R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true}]})",
        "null", R"({"type":"Split","pattern":{"Regex":"a"},"behavior":"Isolated"})", "[]"}) {
    EXPECT_EQ(match_pre_tokenizer(Json::parse(other)), nullptr) << other;
  }
}

TEST(GgufTokenizer, BeginAndEndAreATemplate) {
  GgufKeys keys;
  keys.add_text("tokenizer.ggml.model", "gpt2");
  keys.add_text("tokenizer.ggml.pre", "llama-bpe");
  keys.add_texts("tokenizer.ggml.tokens", {"a", "<s>", "</s>", "[PAD3]"});
  keys.add_integers("tokenizer.ggml.token_type", {1, 3, 3, 5});
  keys.add_count("tokenizer.ggml.bos_token_id", 1);
  keys.add_count("tokenizer.ggml.eos_token_id", 2);
  keys.add_flag("tokenizer.ggml.add_eos_token", true);
  const KeyFile file(keys);
  const Json json = Json::parse(tokenizer_json_from_gguf(file.header.metadata));
  EXPECT_EQ(json.at("post_processor").at("type"), "TemplateProcessing");
  const Json& single = json.at("post_processor").at("single");
  ASSERT_EQ(single.size(), 3U);  // llama-bpe adds BOS where no key says otherwise
  EXPECT_EQ(single[0].at("SpecialToken").at("id"), "<s>");
  EXPECT_EQ(single[2].at("SpecialToken").at("id"), "</s>");
  EXPECT_TRUE(json.at("model").at("ignore_merges"));
  EXPECT_EQ(json.at("model").at("vocab").size(), 3U);  // padding is no token
  EXPECT_EQ(json.at("added_tokens").size(), 2U);
  const KeyFile again(keys_of(json.dump(), 4, {.bos = 1, .eos = 2}));
  EXPECT_EQ(again.header.metadata.flag("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(again.header.metadata.flag("tokenizer.ggml.add_eos_token"), true);
  EXPECT_EQ(again.header.metadata.text("tokenizer.ggml.pre"), "llama-bpe");
}

// Made by make_gguf_sentencepiece.py.
std::string sentencepiece_fixture() {
  return std::string(FINESCALE_SOURCE_DIR) + "/tests/import/gguf_sentencepiece.gguf";
}

TEST(GgufTokenizer, ScoresBecomeMergesAndComeBack) {
  const GgufFile file(sentencepiece_fixture());
  const std::string text = tokenizer_json_from_gguf(file.metadata());
  const Json json = Json::parse(text);
  EXPECT_TRUE(json.at("model").at("byte_fallback"));
  EXPECT_EQ(json.at("model").at("unk_token"), "<unk>");
  EXPECT_EQ(json.at("normalizer").at("normalizers").at(0).at("type"), "Prepend");
  const KeyFile again(keys_of(text, 420, read_gguf_special_tokens(file.metadata())));
  const GgufMetadata& m = again.header.metadata;
  EXPECT_EQ(m.text("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(m.integers("tokenizer.ggml.token_type"),
            file.metadata().integers("tokenizer.ggml.token_type"));
  EXPECT_EQ(m.texts("tokenizer.ggml.tokens"), file.metadata().texts("tokenizer.ggml.tokens"));
  EXPECT_EQ(m.flag("tokenizer.ggml.add_bos_token"), true);
  // Scores are others, the order of merges is the same.
  EXPECT_EQ(Json::parse(tokenizer_json_from_gguf(m)).at("model"), json.at("model"));
}

TEST(GgufTokenizer, IdsAreThoseOfSentencepiece) {
  const GgufFile file(sentencepiece_fixture());
  const Tokenizer tokenizer =
      Tokenizer::from_json(tokenizer_json_from_gguf(file.metadata()), "sentencepiece");
  const std::vector<std::string_view> texts = file.metadata().texts("test.texts");
  ASSERT_EQ(texts.size(), 12U);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::vector<std::int32_t> wanted;
    for (const std::int64_t id : file.metadata().integers("test.ids." + std::to_string(i))) {
      if (id >= 0) {  // -1 stands for none: converters write no empty lists
        wanted.push_back(static_cast<std::int32_t>(id));
      }
    }
    EXPECT_EQ(tokenizer.encode(texts[i]), wanted) << texts[i];
    if (texts[i].find("\u2581") == std::string_view::npos) {  // that one reads as a space
      EXPECT_EQ(tokenizer.decode(wanted), texts[i]);
    }
  }
  EXPECT_EQ(tokenizer.add_special({5}), (std::vector<std::int32_t>{1, 5}));  // BOS by default
}

struct Damage {
  const char* name;
  std::function<void(GgufKeys&)> add;  // beside what is there
  const char* message;
  const char* where;
};

TEST(GgufTokenizer, DamagedKeysAreNamed) {
  const auto tokens = [](GgufKeys& keys) {
    keys.add_text("tokenizer.ggml.model", "gpt2");
    keys.add_text("tokenizer.ggml.pre", "gpt-2");
    keys.add_texts("tokenizer.ggml.tokens", {"a", "b"});
  };
  const std::vector<Damage> all = {
      {"none", [](GgufKeys&) {}, "has no tokens", "tokenizer.ggml.tokens"},
      {"kind",
       [](GgufKeys& k) {
         k.add_text("tokenizer.ggml.model", "t5");
         k.add_texts("tokenizer.ggml.tokens", {"a"});
       },
       "kind \"t5\" is not supported", "tokenizer.ggml.model"},
      {"pre",
       [](GgufKeys& k) {
         k.add_text("tokenizer.ggml.model", "gpt2");
         k.add_text("tokenizer.ggml.pre", "viking");
         k.add_texts("tokenizer.ggml.tokens", {"a"});
       },
       "viking is not supported", "tokenizer.ggml.pre"},
      {"no pre",
       [](GgufKeys& k) {
         k.add_text("tokenizer.ggml.model", "gpt2");
         k.add_texts("tokenizer.ggml.tokens", {"a"});
       },
       "does not say how", "tokenizer.ggml.pre"},
      {"types",
       [&](GgufKeys& k) {
         tokens(k);
         k.add_integers("tokenizer.ggml.token_type", {1});
       },
       "1 types for 2 tokens", "tokenizer.ggml.token_type"},
      {"type",
       [&](GgufKeys& k) {
         tokens(k);
         k.add_integers("tokenizer.ggml.token_type", {1, 9});
       },
       "token 1 has type 9", "tokenizer.ggml.token_type"},
      {"scores",
       [&](GgufKeys& k) {
         tokens(k);
         k.add_numbers("tokenizer.ggml.scores", {0});
       },
       "1 scores for 2 tokens", "tokenizer.ggml.scores"},
      {"merge",
       [&](GgufKeys& k) {
         tokens(k);
         k.add_texts("tokenizer.ggml.merges", {"ab"});
       },
       "merge 0 is not two pieces", "tokenizer.ggml.merges"},
      {"bos",
       [&](GgufKeys& k) {
         tokens(k);
         k.add_count("tokenizer.ggml.bos_token_id", 2);
       },
       "token 2 does not exist", "tokenizer.ggml.bos_token_id"},
      {"utf-8",
       [](GgufKeys& k) {
         k.add_text("tokenizer.ggml.model", "gpt2");
         k.add_text("tokenizer.ggml.pre", "gpt-2");
         k.add_texts("tokenizer.ggml.tokens", {"a", "\xff"});
       },
       "entry 1 is not valid UTF-8", "tokenizer.ggml.tokens"},
  };
  for (const Damage& damage : all) {
    SCOPED_TRACE(damage.name);
    GgufKeys keys;
    keys.add_text("general.architecture", "llama");
    damage.add(keys);
    const KeyFile file(keys);
    try {
      (void)tokenizer_json_from_gguf(file.header.metadata);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_NE(error.message().find(damage.message), std::string::npos) << error.message();
      EXPECT_NE(error.where().find(damage.where), std::string::npos) << error.where();
    }
  }
}

TEST(GgufTokenizer, WhatGgufCannotSayIsRefused) {
  Json json = Json::parse(trained_json());
  const auto refused = [](const Json& document, std::int64_t vocab_size = 400) {
    GgufKeys keys;
    EXPECT_THROW(add_tokenizer_keys(document.dump(), "t", vocab_size, {}, keys), Error);
  };
  refused(json, 100);  // fewer rows than tokens
  Json other = json;
  other["model"]["type"] = "Unigram";
  refused(other);
  other = json;
  other["normalizer"] = {{"type", "Lowercase"}};
  refused(other);
  other = json;
  other["added_tokens"][0]["lstrip"] = true;
  refused(other);
  other = json;
  other.erase("model");
  refused(other);
}

}  // namespace
}  // namespace finescale
