// SPDX-License-Identifier: Apache-2.0
// Normalisers that cut, replace and add text.
#include "worker/data/tokenizers/byte_level.h"
#include "worker/data/tokenizers/normalizer.h"
#include "worker/data/tokenizers/regex.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

class Strip final : public Normalizer {
 public:
  explicit Strip(const JsonNode& node)
      : left_(node.at("strip_left").flag()), right_(node.at("strip_right").flag()) {}

  void apply(NormalText& text) const override {
    std::size_t begin = 0;
    std::size_t last = 0;  // behind the last character that is not white space
    bool leading = left_;
    for (std::size_t at = 0; at < text.text.size();) {
      const CodePoint c = decode_utf8(text.text, at);
      at += static_cast<std::size_t>(std::max(1, c.length));
      if (!is_white_space(c.value)) {
        leading = false;
        last = at;
      } else if (leading) {
        begin = at;
      }
    }
    const std::size_t end = right_ ? std::max(begin, last) : text.text.size();
    text.at_start = text.at_start && begin == 0;
    text.text = text.text.substr(begin, end - begin);
  }

 private:
  bool left_;
  bool right_;
};

class Replace final : public Normalizer {
 public:
  explicit Replace(const JsonNode& node)
      : pattern_(node.at("pattern")), content_(node.at("content").text()) {}

  void apply(NormalText& text) const override {
    pattern_.find_all(text.text, matches_);
    if (matches_.empty()) {
      return;
    }
    check_growth(text.text.size(), text.text.size() + matches_.size() * content_.size());
    std::string out;
    out.reserve(text.text.size());
    std::size_t copied = 0;
    for (const Span& match : matches_) {
      out.append(text.text, copied, match.begin - copied);
      out += content_;
      copied = match.end;
      if (out.empty()) {
        text.at_start = false;  // the text now begins behind what was removed
      }
    }
    out.append(text.text, copied);
    text.text = std::move(out);
  }

 private:
  Regex pattern_;
  std::string content_;
  mutable std::vector<Span> matches_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(const JsonNode& node) : text_(node.at("prepend").text()) {}
  void apply(NormalText& text) const override {
    if (!text.text.empty()) {
      text.text.insert(0, text_);
    }
  }

 private:
  std::string text_;
};

class ByteLevelNormalizer final : public Normalizer {
 public:
  void apply(NormalText& text) const override { text.text = to_byte_characters(text.text); }
  [[nodiscard]] bool takes_bytes() const override { return true; }
};

}  // namespace

NormalizerPtr make_strip_normalizer(const JsonNode& node) {
  return std::make_unique<Strip>(node);
}
NormalizerPtr make_replace_normalizer(const JsonNode& node) {
  return std::make_unique<Replace>(node);
}
NormalizerPtr make_prepend_normalizer(const JsonNode& node) {
  return std::make_unique<Prepend>(node);
}
NormalizerPtr make_byte_level_normalizer() {
  return std::make_unique<ByteLevelNormalizer>();
}

}  // namespace finescale
