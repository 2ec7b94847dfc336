// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizer.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/random.h"

namespace finescale {
namespace {

std::vector<std::string> corpus() {
  return {"the quick brown fox jumps over the lazy dog", "the the the then there these",
          "a fox, a dog; and 12345 foxes!",
          "Stra\xC3\x9F"
          "e \xE2\x82\xAC 12 \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7",
          "line\r\nbreak\ttab  spaces   end "};
}

constexpr std::size_t kGoldenBytes = 20303;
constexpr std::uint64_t kGoldenHash = 0x9F69AB16D7BA9F95U;

std::vector<std::string> hostile() {
  std::vector<std::string> texts = corpus();
  std::string every;
  for (int byte = 0; byte < 256; ++byte) {
    every += static_cast<char>(byte);
  }
  texts.push_back(every);
  texts.push_back(std::string(100000, 'a'));
  texts.push_back("\xFF\xFE broken \xC3 utf8 \xE2\x82");
  texts.push_back("<|end|> looks special");
  Random random(1, Purpose::kTest);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int c = 0; c < 40; ++c) {
      text += static_cast<char>(random.below(256));
    }
    texts.push_back(text);
  }
  return texts;
}

TEST(Tokenizer, RoundTripsAnyBytes) {
  const Tokenizer tokenizer = Tokenizer::train(corpus(), 320, {"<|end|>", "<|sep|>"});
  for (const std::string& text : hostile()) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode_ordinary(text)), text);
  }
}

TEST(Tokenizer, TrainingIsDeterministicAndLearnsFrequentPairs) {
  const Tokenizer a = Tokenizer::train(corpus(), 300, {"<|end|>"});
  const Tokenizer b = Tokenizer::train(corpus(), 300, {"<|end|>"});
  EXPECT_EQ(a.to_json(), b.to_json());
  EXPECT_EQ(a.token_id("<|end|>"), 0);
  EXPECT_TRUE(a.token_id("the").has_value());
  EXPECT_LT(a.encode_ordinary("the the the").size(), 4U);
}

TEST(Tokenizer, WhatIsWrittenReadsBackEqual) {
  const Tokenizer made = Tokenizer::train(corpus(), 320, {"<|end|>", "<|sep|>"});
  const Tokenizer read = Tokenizer::from_json(made.to_json(), "memory");
  EXPECT_EQ(read.to_json(), made.to_json());
  EXPECT_EQ(read.vocab_size(), made.vocab_size());
  for (const std::string& text : hostile()) {
    EXPECT_EQ(read.encode_ordinary(text), made.encode_ordinary(text));
    EXPECT_EQ(read.encode(text), made.encode(text));
  }
}

TEST(Tokenizer, SpecialTokensAreCutOutOnlyWhenAsked) {
  const Tokenizer tokenizer = Tokenizer::train(corpus(), 300, {"<|end|>"});
  EXPECT_EQ(tokenizer.encode("a<|end|>").back(), 0);
  for (const std::int32_t id : tokenizer.encode_ordinary("a<|end|>")) {
    EXPECT_NE(id, 0);
  }
}

// What is wrong with the text; empty: nothing.
std::string complaint(const std::string& json) {
  try {
    (void)Tokenizer::from_json(json, "x.json");
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_EQ(exit_code(error.kind()), 2);
    EXPECT_EQ(error.where(), "x.json");
    return error.message();
  }
}

TEST(Tokenizer, RefusesByNameAndPath) {
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"model": {"type": "WordLevel", "vocab": {}}})", "/model: the model WordLevel"},
      {"{" + model + R"(, "normalizer": {"type": "Sequence", "normalizers": [{"type": "Magic"}]}})",
       "/normalizer/normalizers/0: the normalizer Magic"},
      {"{" + model + R"(, "pre_tokenizer": {"type": "UnicodeScripts"}})",
       "/pre_tokenizer: the pre-tokenizer UnicodeScripts"},
      {"{" + model +
           R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a("},)"
           R"( "behavior": "Isolated"}})",
       "/pre_tokenizer/pattern/Regex is not a regular expression"},
      {"{" + model + R"(, "decoder": {"type": "CTC"}})", "/decoder: the decoder CTC"},
      {"{" + model + R"(, "post_processor": {"type": "Other"}})", "/post_processor: "},
      {"{" + model + R"(, "added_tokens": [{"content": "x"}, {"content": 5}]})",
       "/added_tokens/1/content is number"},
      {"{" + model + R"(, "version": "2.0"})", "/version: version 2.0"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}})",
       "/model/merges/0 names a token that is not in the vocabulary: ab"},
      {R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", "/model/vocab/a must be"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}})",
       "/model/vocab/a must be"},
      {R"({"model": {"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}})", "dropout"},
      {R"({"model": {"type": "Unigram", "unk_id": 3, "vocab": [["a", 0.0]]}})",
       "/model/unk_id must be"},
      {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", "/model/vocab/0 must be"},
      {R"({"normalizer": null})", "/ lacks \"model\""},
      {"[", "parse error"},
      {"{\"a\": \"\xFF\"}", "ill-formed UTF-8"}};
  for (const auto& [json, part] : cases) {
    EXPECT_NE(complaint(json).find(part), std::string::npos) << json << ": " << complaint(json);
  }
}

TEST(Tokenizer, SequencesNestedTooDeepAreRefused) {
  std::string json = R"({"type": "NFC"})";
  for (int i = 0; i < 1000; ++i) {
    json.insert(0, R"({"type": "Sequence", "normalizers": [)");
    json += "]}";
  }
  EXPECT_NE(complaint(R"({"model": {"type": "BPE", "vocab": {}, "merges": []}, "normalizer": )" +
                      json + "}")
                .find("nested too deep"),
            std::string::npos);
}

TEST(Tokenizer, UnknownTextWithoutATokenForItIsAnError) {
  const Tokenizer tokenizer =
      Tokenizer::from_json(R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}})", "x.json");
  EXPECT_EQ(tokenizer.encode("a"), std::vector<std::int32_t>{0});
  EXPECT_THROW((void)tokenizer.encode("b"), Error);
}

TEST(Tokenizer, AStreamHoldsBackUnfinishedCharacters) {
  const Tokenizer tokenizer = Tokenizer::train({"ab"}, 256, {});
  TextStream stream(tokenizer);
  std::vector<std::string> parts;
  for (const std::int32_t id : tokenizer.encode("a\xE2\x82\xAC"
                                                "b\xF0\x9F")) {
    parts.push_back(stream.push(id));
  }
  EXPECT_EQ(parts, (std::vector<std::string>{"a", "", "", "\xE2\x82\xAC", "b", "", ""}));
  EXPECT_EQ(stream.finish(), "\xF0\x9F");
}

// The file that training has always written for this text: ids of old checkpoints depend on it.
TEST(Tokenizer, TrainingGivesTheGoldenFile) {
  std::vector<std::string> texts = corpus();
  Random random(3, Purpose::kTest);
  for (int i = 0; i < 400; ++i) {
    std::string text;
    for (int word = 0; word < 8; ++word) {
      text += " ";
      for (std::uint64_t c = 0; c < 1 + random.below(6); ++c) {
        text += static_cast<char>('a' + random.below(7));
      }
      text += word == 5 ? " 12'll\n\xC3\xA9t\xC3\xA9" : "";
    }
    texts.push_back(text);
  }
  const std::string json = Tokenizer::train(texts, 600, {"<|end|>", "<|sep|>"}).to_json();
  std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a
  for (const char c : json) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  EXPECT_EQ(json.size(), kGoldenBytes);
  EXPECT_EQ(hash, kGoldenHash);
}

std::string shared_directory() {
  if (const char* given = std::getenv("FINESCALE_SHARED"); given != nullptr) {
    return given;
  }
  return std::string(FINESCALE_SOURCE_DIR) + "/../shared";
}

TEST(Tokenizer, GivesTheReferenceIds) {
  const std::string root = shared_directory() + "/reference/hf";
  if (!std::filesystem::exists(root)) {
    GTEST_SKIP() << "no reference models at " << root;
  }
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::string json = entry.path().string() + "/reference.json";
    if (!std::filesystem::exists(entry.path().string() + "/tokenizer.json") ||
        !std::filesystem::exists(json)) {
      continue;
    }
    const Tokenizer tokenizer = Tokenizer::load(entry.path().string() + "/tokenizer.json");
    std::ifstream in(json);
    const nlohmann::json reference = nlohmann::json::parse(in);
    for (const auto& item : reference.value("tokenizer_cases", nlohmann::json::array())) {
      EXPECT_EQ(tokenizer.encode(item.at("text").get<std::string>()),
                item.at("ids").get<std::vector<std::int32_t>>())
          << item.at("text");
      ++cases;
    }
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace finescale
