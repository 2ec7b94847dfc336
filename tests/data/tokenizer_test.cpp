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

TEST(Tokenizer, RefusesByName) {
  try {
    (void)Tokenizer::from_json(R"({"model": {"type": "Unigram", "vocab": []}})", "x.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_NE(std::string(error.what()).find("Unigram"), std::string::npos);
  }
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
