// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers that split by an expression, or at the metaspace.
#include <algorithm>
#include <optional>

#include "worker/data/tokenizers/byte_level.h"
#include "worker/data/tokenizers/known_patterns.h"
#include "worker/data/tokenizers/pretokenizer.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

class Split final : public PreTokenizer {
 public:
  explicit Split(const JsonNode& node)
      : pattern_(node.at("pattern")),
        behavior_(split_behavior(node.at("behavior"))),
        invert_(node.flag_or("invert", false)) {
    // The known patterns match everywhere, so that removing what lies between changes nothing.
    if ((behavior_ == SplitBehavior::kIsolated && !invert_) ||
        (behavior_ == SplitBehavior::kRemoved && invert_)) {
      known_ = pattern_.is_literal() ? std::nullopt : known_pattern(pattern_.source());
    }
  }

  void apply(const Piece& piece, PieceList& out) const override {
    if (known_) {
      split_known(*known_, piece.text, piece.at_start, out);
      return;
    }
    pattern_.find_all(piece.text, matches_);
    segments_.clear();
    std::size_t last = 0;
    for (const Span& match : matches_) {
      if (match.begin != last) {
        segments_.push_back({{last, match.begin}, invert_});
      }
      segments_.push_back({match, !invert_});
      last = match.end;
    }
    if (last != piece.text.size()) {
      segments_.push_back({{last, piece.text.size()}, invert_});
    }
    add_segments(piece, behavior_, segments_, out);
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
  std::optional<KnownPattern> known_;
  mutable std::vector<Span> matches_;
  mutable std::vector<Segment> segments_;
};

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(const JsonNode& node, bool leave_bytes)
      : prefix_space_(node.flag_or("add_prefix_space", true)),
        use_regex_(node.flag_or("use_regex", true)),
        leave_bytes_(leave_bytes) {}

  void apply(const Piece& piece, PieceList& out) const override {
    std::string_view text = piece.text;
    if (prefix_space_ && text.front() != ' ') {
      text = out.keep(" " + std::string(text));
    }
    const std::size_t first = out.pieces().size();
    if (use_regex_) {
      split_known(KnownPattern::kGpt2, text, piece.at_start, out);
    } else {
      out.add(text, piece.at_start);
    }
    for (std::size_t i = first; !leave_bytes_ && i < out.pieces().size(); ++i) {
      out.pieces()[i].text = out.keep(to_byte_characters(out.pieces()[i].text));
    }
  }

 private:
  bool prefix_space_;
  bool use_regex_;
  bool leave_bytes_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(const JsonNode& node)
      : replacement_(to_utf8(node.at("replacement").character())),
        split_(node.flag_or("split", true)) {
    const std::string scheme = node.text_or("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      node.at("prepend_scheme").unsupported("the scheme " + scheme);
    }
    // Old files have only add_prefix_space.
    const bool never = scheme == "never" || !node.flag_or("add_prefix_space", true);
    if (never && scheme == "first") {
      node.fail("has an add_prefix_space that does not match its prepend_scheme");
    }
    scheme_ = never ? Scheme::kNever : scheme == "first" ? Scheme::kFirst : Scheme::kAlways;
  }

  void apply(const Piece& piece, PieceList& out) const override {
    std::string made;
    made.reserve(piece.text.size() + piece.text.size() / 2);
    for (const char c : piece.text) {
      if (c == ' ') {
        made += replacement_;
      } else {
        made += c;
      }
    }
    const bool wanted = scheme_ == Scheme::kAlways || (scheme_ == Scheme::kFirst && piece.at_start);
    if (wanted && !made.starts_with(replacement_)) {
      made.insert(0, replacement_);
    }
    const std::string_view text = out.keep(std::move(made));
    if (!split_) {
      out.add(text, piece.at_start);
      return;
    }
    // Merged with next: a separator before another one stands alone.
    for (std::size_t begin = 0; begin < text.size();) {
      const bool separator = text.compare(begin, replacement_.size(), replacement_) == 0;
      const std::size_t from = separator ? begin + replacement_.size() : begin;
      const std::size_t end = std::min(text.size(), text.find(replacement_, from));
      out.add(text.substr(begin, end - begin), piece.at_start && begin == 0);
      begin = end;
    }
  }

 private:
  enum class Scheme { kFirst, kNever, kAlways };
  std::string replacement_;
  bool split_;
  Scheme scheme_;
};

}  // namespace

PreTokenizerPtr make_split_pretokenizer(const JsonNode& node) {
  return std::make_unique<Split>(node);
}
PreTokenizerPtr make_byte_level_pretokenizer(const JsonNode& node, bool leave_bytes) {
  return std::make_unique<ByteLevelPreTokenizer>(node, leave_bytes);
}
PreTokenizerPtr make_metaspace_pretokenizer(const JsonNode& node) {
  return std::make_unique<Metaspace>(node);
}

}  // namespace finescale
