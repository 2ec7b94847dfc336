// SPDX-License-Identifier: Apache-2.0
// Damaged tokenizer.json files: each loads or is refused with kData, never anything else.
// FINESCALE_FUZZ_SECONDS makes it run longer than its two seconds.
#include <chrono>
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/tokenizer.h"

namespace finescale {
namespace {

using Json = nlohmann::json;

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed, Purpose::kTest) {}

  std::string damage(const Json& document) {
    Json copy = document;
    for (std::uint64_t i = 0; i < 1 + pick(3); ++i) {
      damage_value(copy);
    }
    std::string text = copy.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (pick(4) == 0) {
      damage_bytes(text);
    }
    return text;
  }

 private:
  std::uint64_t pick(std::uint64_t n) { return random_.below(n); }

  // A place some way down the document.
  Json& somewhere(Json& value) {
    Json* at = &value;
    while (at->is_structured() && !at->empty() && (at == &value || pick(4) != 0)) {
      auto it = at->begin();
      std::advance(it, static_cast<std::ptrdiff_t>(pick(std::min<std::size_t>(at->size(), 12))));
      at = &*it;
    }
    return *at;
  }

  Json odd_value() {
    const std::vector<Json> odd = {
        nullptr,
        true,
        -1,
        0,
        3000000000U,
        1e300,
        -0.5,
        "",
        "\xE2\x96\x81",
        "Sequence",
        "ByteLevel",
        "Regex",
        "(a|b)*\\p{L}[^\\s&&[x]]",
        Json::array(),
        Json::object(),
        Json::array({1, "a"}),
        Json{{"type", "Metaspace"}, {"replacement", "_"}},
        Json{{"type", "Replace"}, {"pattern", {{"Regex", "x*"}}}, {"content", "ab"}}};
    return odd[pick(odd.size())];
  }

  void damage_value(Json& document) {
    Json& at = somewhere(document);
    switch (pick(5)) {
      case 0:
        at = odd_value();
        break;
      case 1:
        at = Json(somewhere(document));
        break;
      case 2:
        if (at.is_structured() && !at.empty()) {
          at.erase(at.begin());
        }
        break;
      case 3:
        if (at.is_array()) {
          at.push_back(odd_value());
        } else if (at.is_string()) {
          std::string text = at.get<std::string>();
          text.insert(pick(text.size() + 1), 1, "\\[(*+?{}^$|.a0,"[pick(16)]);
          at = text;
        }
        break;
      default:
        if (at.is_number()) {
          at = static_cast<std::int64_t>(random_.next_u64() >> pick(64));
        }
    }
  }

  void damage_bytes(std::string& text) {
    const std::size_t at = pick(text.size());
    if (pick(3) == 0) {
      text.resize(at);
    } else {
      text[at] = static_cast<char>(pick(256));
    }
  }

  Random random_;
};

void use(const Tokenizer& tokenizer) {
  for (const char* text : {"It's <s> 12 caf\xC3\xA9\xE2\x96\x81 \xF0\x9F\x91\xA9  x", "\xFF a\n"}) {
    const std::vector<std::int32_t> ids = tokenizer.add_special(tokenizer.encode(text));
    (void)tokenizer.decode(ids);
    (void)tokenizer.encode_ordinary(text);
    TextStream stream(tokenizer);
    for (const std::int32_t id : ids) {
      (void)stream.push(id);
    }
    (void)stream.finish();
  }
}

TEST(TokenizerFuzz, DamagedFilesLoadOrAreRefused) {
  std::ifstream in(std::string(FINESCALE_SOURCE_DIR) + "/tests/data/tokenizers/fixtures.json");
  const Json read = Json::parse(in);
  std::vector<Json> documents;
  for (const Json& fixture : read.at("fixtures")) {
    documents.push_back(fixture.at("tokenizer"));
    if (documents.back().at("model") == "probe") {  // the small ones go around fastest
      documents.back()["model"] = {{"type", "WordPiece"},
                                   {"vocab", {{"[UNK]", 0}, {"a", 1}, {"##a", 2}}}};
    }
  }
  const char* asked = std::getenv("FINESCALE_FUZZ_SECONDS");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(asked == nullptr ? 2 : std::atoi(asked));
  int loaded = 0;
  int refused = 0;
  for (std::uint64_t seed = 0; std::chrono::steady_clock::now() < end; ++seed) {
    const std::string text = Mutator(seed).damage(documents[seed % documents.size()]);
    try {
      use(Tokenizer::from_json(text, "fuzz"));
      ++loaded;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kData) << "seed " << seed << ": " << error.what();
      ++refused;
    }
  }
  EXPECT_GT(loaded, 0);
  EXPECT_GT(refused, 0);
  RecordProperty("loaded", loaded);
  RecordProperty("refused", refused);
}

}  // namespace
}  // namespace finescale
