// SPDX-License-Identifier: Apache-2.0
// The hand-written scanners and merges against the plain way, on random bytes and characters.
#include <array>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/random.h"
#include "worker/data/tokenizers/bpe_merges.h"
#include "worker/data/tokenizers/known_patterns.h"
#include "worker/data/tokenizers/regex.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {
namespace {

constexpr std::array<const char*, 3> kPatterns = {
    kGpt2Pattern,
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

// Short, from an alphabet in which neighbours matter; every fourth with raw bytes.
std::string random_text(Random& random, bool bytes) {
  constexpr std::array<const char*, 26> kParts = {"a",
                                                  "B",
                                                  "s",
                                                  "'",
                                                  "'LL",
                                                  "re",
                                                  "1",
                                                  "23",
                                                  " ",
                                                  "  ",
                                                  "\n",
                                                  "\r\n",
                                                  "\t",
                                                  ".",
                                                  "!?",
                                                  "\xC5\xBF",
                                                  "\xCC\x81",
                                                  "\xE2\x80\x83",
                                                  "\xC2\x85",
                                                  "\xE1\xA0\x8E",
                                                  "\xF0\x9F\x91\xA9\xE2\x80\x8D",
                                                  "\xE4\xB8\xAD",
                                                  "\xD9\xA1",
                                                  "\xC2\xBD",
                                                  "_",
                                                  "/"};
  std::string text;
  for (std::uint64_t i = 0; i < 12; ++i) {
    const std::uint64_t pick = random.below(kParts.size() + 4);
    if (pick < kParts.size()) {
      text += kParts[pick];
    } else if (bytes) {
      text += static_cast<char>(random.below(256));
    } else {
      const auto code = static_cast<char32_t>(random.below(0x110000));
      text += code >= 0xD800 && code < 0xE000 ? "?" : to_utf8(code);
    }
  }
  return text;
}

TEST(KnownPatterns, ScannersGiveThePiecesOfTheExpression) {
  const std::string where = "test";
  const nlohmann::json none;
  const JsonNode place(none, where);
  Random random(7, Purpose::kTest);
  std::vector<Span> matches;
  for (const char* pattern : kPatterns) {
    const std::optional<KnownPattern> known = known_pattern(pattern);
    ASSERT_TRUE(known);
    const Regex regex(pattern, place);
    for (int round = 0; round < 20000; ++round) {
      const std::string text = random_text(random, round % 4 == 0);
      regex.find_all(text, matches);
      std::vector<std::string> expected;
      std::size_t last = 0;
      for (const Span& match : matches) {
        if (match.begin > last) {
          expected.push_back(text.substr(last, match.begin - last));
        }
        expected.push_back(text.substr(match.begin, match.end - match.begin));
        last = match.end;
      }
      if (last < text.size()) {
        expected.push_back(text.substr(last));
      }
      PieceList pieces;
      split_known(*known, text, true, pieces);
      std::vector<std::string> got;
      for (const Piece& piece : pieces.pieces()) {
        got.emplace_back(piece.text);
      }
      ASSERT_EQ(got, expected) << testing::PrintToString(text);
    }
  }
}

// Merges one at a time, looking at all pairs each time.
std::vector<std::int32_t> merge_plainly(const std::vector<BpeMerge>& merges,
                                        std::vector<std::int32_t> symbols) {
  for (;;) {
    std::size_t best = merges.size();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (std::size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].left == symbols[i] && merges[rank].right == symbols[i + 1]) {
          best = rank;
          at = i;
        }
      }
    }
    if (best == merges.size()) {
      return symbols;
    }
    symbols[at] = merges[best].result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(BpeMerges, ShortAndLongPiecesMergeInTheOrderOfRanks) {
  Random random(8, Purpose::kTest);
  for (int round = 0; round < 300; ++round) {
    std::vector<BpeMerge> merges;
    for (std::int32_t id = 4; id < 24; ++id) {
      merges.push_back({static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(id))),
                        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(id))),
                        id});
    }
    std::vector<BpeMerge> distinct;  // a pair has one merge
    for (const BpeMerge& merge : merges) {
      bool seen = false;
      for (const BpeMerge& other : distinct) {
        seen = seen || (other.left == merge.left && other.right == merge.right);
      }
      if (!seen) {
        distinct.push_back(merge);
      }
    }
    std::vector<std::int32_t> symbols(2 + random.below(80));
    for (std::int32_t& symbol : symbols) {
      symbol = static_cast<std::int32_t>(random.below(4));
    }
    const std::vector<std::int32_t> expected = merge_plainly(distinct, symbols);
    BpeMerges(distinct).apply(symbols);
    ASSERT_EQ(symbols, expected);
  }
}

}  // namespace
}  // namespace finescale
