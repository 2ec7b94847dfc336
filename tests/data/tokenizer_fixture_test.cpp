// SPDX-License-Identifier: Apache-2.0
// Ids and texts compared exactly with what the tokenizers library made
// (tokenizers/make_fixtures.py).
#include <array>
#include <cstdio>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "worker/data/tokenizer.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

const Json& fixtures() {
  static const Json read = [] {
    std::ifstream in(std::string(FINESCALE_SOURCE_DIR) + "/tests/data/tokenizers/fixtures.json");
    return Json::parse(in);
  }();
  return read;
}

// One token for each byte, and a zero byte behind each piece.
Json probe_model() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    constexpr const char* kDigits = "0123456789ABCDEF";
    vocab[std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">"] = byte;
  }
  return {{"type", "BPE"},
          {"end_of_word_suffix", std::string(1, '\0')},
          {"byte_fallback", true},
          {"vocab", vocab},
          {"merges", Json::array()}};
}

Tokenizer tokenizer_of(const Json& fixture) {
  Json document = fixture.at("tokenizer");
  if (document.at("model") == "probe") {
    document["model"] = probe_model();
  }
  return Tokenizer::from_json(document.dump(), fixture.at("name").get<std::string>());
}

constexpr std::uint64_t kStart = 0xCBF29CE484222325U;

std::uint64_t digest(std::uint64_t value, const Ids& ids) {
  for (const std::int32_t id : ids) {
    value = (value ^ static_cast<std::uint32_t>(id)) * 0x100000001B3U;
  }
  return value;
}

std::string hex(std::uint64_t value) {
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08x", static_cast<unsigned>(value & 0xFFFFFFFFU));
  return text.data();
}

std::string page_text(char32_t first) {
  constexpr std::array<const char*, 6> kBetween = {"a", " ", "1", ".", "\xC3\xA9", ""};
  std::string out;
  std::size_t i = 0;
  for (char32_t code = first; code < first + 256; code += 5, ++i) {
    if (code < 0xD800 || code >= 0xE000) {
      out += kBetween[i % kBetween.size()] + to_utf8(code) + (i % 4 == 0 ? to_utf8(code) : "");
    }
  }
  return out;
}

class Fixture : public testing::TestWithParam<std::size_t> {
 protected:
  const Json& fixture_ = fixtures().at("fixtures").at(GetParam());
  const Tokenizer tokenizer_ = tokenizer_of(fixture_);
};

TEST_P(Fixture, GivesTheIdsOfTheReference) {
  const auto texts = fixtures().at("texts").get<std::vector<std::string>>();
  const Json& cases = fixture_.at("cases");
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(tokenizer_.encode(texts[i]), cases[i].get<Ids>()) << texts[i];
  }
  if (fixture_.contains("texts_digest")) {
    std::uint64_t value = kStart;
    for (const std::string& text : texts) {
      value = digest(value, tokenizer_.encode(text));
    }
    EXPECT_EQ(hex(value), fixture_.at("texts_digest"));
  }
  if (fixture_.contains("pair")) {
    const Ids first = tokenizer_.encode(texts[0]);
    EXPECT_EQ(tokenizer_.add_special(first), fixture_.at("single").get<Ids>());
    EXPECT_EQ(tokenizer_.add_special(first, tokenizer_.encode(texts[1])),
              fixture_.at("pair").get<Ids>());
  }
}

TEST_P(Fixture, GivesTheIdsOfTheReferenceInAllOfUnicode) {
  const auto starts = fixtures().at("starts").get<std::vector<char32_t>>();
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    std::uint64_t value = kStart;
    const char32_t end = std::min<char32_t>(starts[i + 1], starts[i] + 0x4000);
    for (char32_t page = starts[i]; page < end; page += 256) {
      value = digest(value, tokenizer_.encode(page_text(page)));
    }
    EXPECT_EQ(hex(value), fixture_.at("pages")[i]) << "from code point " << hex(starts[i]);
  }
}

TEST_P(Fixture, GivesTheIdsOfAMillionLetters) {
  if (fixture_.contains("letters")) {
    EXPECT_EQ(hex(digest(kStart, tokenizer_.encode(std::string(1000000, 'a')))),
              fixture_.at("letters"));
  }
}

// The reference writes bytes that are not UTF-8 as U+FFFD; here they come out as they are.
TEST_P(Fixture, DecodesAsTheReference) {
  for (const Json& item : fixture_.value("decoded", Json::array())) {
    const Ids ids = item[0].get<Ids>();
    EXPECT_EQ(replace_invalid(tokenizer_.decode(ids)), item[1]) << item[0];
    EXPECT_EQ(replace_invalid(tokenizer_.decode(ids, false)), item[2]) << item[0];
  }
}

TEST_P(Fixture, AStreamGivesWhatDecodingGives) {
  for (const Json& item : fixture_.value("decoded", Json::array())) {
    const Ids ids = item[0].get<Ids>();
    const std::string whole = tokenizer_.decode(ids);
    TextStream stream(tokenizer_);
    std::string all;
    for (const std::int32_t id : ids) {
      const std::string part = stream.push(id);
      EXPECT_TRUE(is_valid_utf8(part) || !is_valid_utf8(whole)) << item[0];
      all += part;
    }
    all += stream.finish();
    EXPECT_EQ(all, whole) << item[0];
  }
}

TEST_P(Fixture, InvalidBytesSurviveOrAreReplaced) {
  const std::string text =
      "a\xFF"
      "b \xC3 c\xE2\x82 \xF0\x9F\x98 \xED\xA0\x80z";
  const Ids ids = tokenizer_.encode(text);
  const Json& decoder = fixture_.at("tokenizer").at("decoder");
  if (decoder.is_object() && decoder.at("type") == "ByteLevel") {
    EXPECT_NE(tokenizer_.decode(ids).find("\xED\xA0\x80"), std::string::npos);
  } else if (fixture_.at("name") != "n-ByteLevel" && fixture_.at("name") != "p-bytes-first") {
    EXPECT_EQ(ids, tokenizer_.encode(replace_invalid(text)));
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, Fixture,
                         testing::Range(std::size_t{0}, fixtures().at("fixtures").size()),
                         [](const testing::TestParamInfo<std::size_t>& each) {
                           auto name =
                               fixtures().at("fixtures")[each.param].at("name").get<std::string>();
                           for (char& c : name) {
                             c = c == '-' ? '_' : c;
                           }
                           return name;
                         });

}  // namespace
}  // namespace finescale
