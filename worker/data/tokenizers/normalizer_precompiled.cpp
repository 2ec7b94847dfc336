// SPDX-License-Identifier: Apache-2.0
// SentencePiece's normalisation rules: a double-array trie (Darts) from texts to offsets in a blob
// of replacements, in base64. Applied as the reference does: a grapheme of less than six bytes as a
// whole when the trie knows a beginning of it, else character by character.
#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <array>
#include <cstring>
#include <optional>

#include "core/error.h"
#include "worker/data/tokenizers/normalizer.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

std::string from_base64(const JsonNode& node) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int, 256> value{};
  value.fill(-1);
  for (std::size_t i = 0; i < kDigits.size(); ++i) {
    value[static_cast<unsigned char>(kDigits[i])] = static_cast<int>(i);
  }
  const std::string& text = node.text();
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int num_bits = 0;
  std::size_t at = 0;
  for (; at < text.size() && text[at] != '='; ++at) {
    const int digit = value[static_cast<unsigned char>(text[at])];
    if (digit < 0) {
      node.fail("is not base64 at character " + std::to_string(at));
    }
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      out += static_cast<char>((bits >> num_bits) & 0xFF);
    }
  }
  return out;
}

class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(const JsonNode& node) {
    const JsonNode map = node.at("precompiled_charsmap");
    const std::string bytes = from_base64(map);
    std::uint32_t trie_bytes = 0;
    if (bytes.size() < sizeof(trie_bytes)) {
      map.fail("has no trie");
    }
    std::memcpy(&trie_bytes, bytes.data(), sizeof(trie_bytes));
    if (trie_bytes % sizeof(std::uint32_t) != 0 || trie_bytes > bytes.size() - sizeof(trie_bytes)) {
      map.fail("says that its trie has " + std::to_string(trie_bytes) + " bytes, but holds " +
               std::to_string(bytes.size() - sizeof(trie_bytes)));
    }
    units_.resize(trie_bytes / sizeof(std::uint32_t));
    if (units_.empty()) {
      map.fail("has an empty trie");
    }
    std::memcpy(units_.data(), bytes.data() + sizeof(trie_bytes), trie_bytes);
    blob_ = bytes.substr(sizeof(trie_bytes) + trie_bytes);
    if (!is_valid_utf8(blob_)) {
      map.fail("has replacements that are not UTF-8");
    }
    UErrorCode status = U_ZERO_ERROR;
    graphemes_.reset(icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    FS_CHECK(U_SUCCESS(status), "ICU has its grapheme rules");
  }

  void apply(NormalText& text) const override {
    std::string out;
    out.reserve(text.text.size());
    const std::string_view all = text.text;
    for (std::size_t begin = 0; begin < all.size();) {
      // Between two ASCII characters there is always a boundary, but in CR LF: most text needs no
      // break iterator.
      if (ascii_pair(all, begin)) {
        add_grapheme(all.substr(begin, 1), out);
        ++begin;
        continue;
      }
      std::size_t end = begin + 1;
      while (end < all.size() && !ascii_pair(all, end)) {
        ++end;
      }
      end = std::min(all.size(), end + (end < all.size() ? 1 : 0));
      add_graphemes(all.substr(begin, end - begin), out);
      begin = end;
    }
    text.text = std::move(out);
  }

 private:
  // Whether an ASCII character stands here with an ASCII character or the end behind it.
  static bool ascii_pair(std::string_view text, std::size_t at) {
    const auto low = [&](std::size_t i) { return static_cast<unsigned char>(text[i]) < 0x80; };
    return low(at) && (at + 1 == text.size() || (low(at + 1) && text[at] != '\r'));
  }

  void add_graphemes(std::string_view text, std::string& out) const {
    UErrorCode status = U_ZERO_ERROR;
    UText view = UTEXT_INITIALIZER;
    utext_openUTF8(&view, text.data(), static_cast<std::int64_t>(text.size()), &status);
    graphemes_->setText(&view, status);
    FS_CHECK(U_SUCCESS(status), "ICU reads UTF-8");
    std::int32_t begin = graphemes_->first();
    for (std::int32_t end = graphemes_->next(); end != icu::BreakIterator::DONE;
         begin = end, end = graphemes_->next()) {
      add_grapheme(
          text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), out);
    }
    utext_close(&view);
  }

  void add_grapheme(std::string_view grapheme, std::string& out) const {
    constexpr std::size_t kWhole = 6;
    if (grapheme.size() < kWhole) {
      if (const auto image = find(grapheme)) {
        out += *image;
        return;
      }
    }
    for (std::size_t at = 0; at < grapheme.size();) {
      const auto length = static_cast<std::size_t>(std::max(1, decode_utf8(grapheme, at).length));
      const std::string_view character = grapheme.substr(at, length);
      out += find(character).value_or(character);
      at += length;
    }
  }

  // What the shortest known beginning of `text` becomes.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view text) const {
    const auto offset = [](std::uint32_t unit) {
      return (unit >> 10) << ((unit & (1U << 9)) >> 6);
    };
    std::size_t node = offset(units_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      node ^= byte;
      if (byte == 0 || node >= units_.size()) {
        return std::nullopt;
      }
      const std::uint32_t unit = units_[node];
      if ((unit & ((1U << 31) | 0xFF)) != byte) {
        return std::nullopt;
      }
      node ^= offset(unit);
      if (((unit >> 8) & 1) != 0) {
        const std::size_t begin = node < units_.size() ? units_[node] & ((1U << 31) - 1) : SIZE_MAX;
        if (begin > blob_.size()) {
          return std::nullopt;  // a damaged trie
        }
        return std::string_view(blob_).substr(begin, blob_.find('\0', begin) - begin);
      }
    }
    return std::nullopt;
  }

  std::vector<std::uint32_t> units_;
  std::string blob_;
  std::unique_ptr<icu::BreakIterator> graphemes_;
};

}  // namespace

NormalizerPtr make_precompiled_normalizer(const JsonNode& node) {
  return std::make_unique<Precompiled>(node);
}

}  // namespace finescale
