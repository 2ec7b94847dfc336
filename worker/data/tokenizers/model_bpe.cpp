// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <optional>

#include "worker/data/tokenizers/bpe_merges.h"
#include "worker/data/tokenizers/byte_level.h"
#include "worker/data/tokenizers/model.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581, a space in SentencePiece

class BpeTokenModel final : public TokenModel {
 public:
  BpeTokenModel(const JsonNode& node, bool byte_level)
      : byte_level_(byte_level),
        prefix_(node.text_or("continuing_subword_prefix", "")),
        suffix_(node.text_or("end_of_word_suffix", "")),
        fuse_unk_(node.flag_or("fuse_unk", false)),
        byte_fallback_(node.flag_or("byte_fallback", false)),
        ignore_merges_(node.flag_or("ignore_merges", false)) {
    if (const auto dropout = node.find("dropout"); dropout && dropout->number() != 0) {
      dropout->unsupported("dropout (it makes ids random)");
    }
    read_vocabulary(node.at("vocab"));
    merges_.emplace(read_merges(node.at("merges")));
    if (const auto unk = node.find("unk_token")) {
      has_unk_ = true;
      unk_ = tokens_.find(unk->text());
    }
    for (int byte = 0; byte < 256; ++byte) {
      const auto b = static_cast<unsigned char>(byte);
      byte_ids_[b] = tokens_.find(byte_character(b));
      fallback_ids_[b] = tokens_.find(byte_token(b));
      ascii_ids_[b] = byte < 0x80 ? tokens_.find(std::string(1, static_cast<char>(byte))) : -1;
    }
    plain_ = prefix_.empty() && suffix_.empty();
    all_bytes_ = plain_;
    for (const std::int32_t id : byte_ids_) {
      all_bytes_ = all_bytes_ && id >= 0;
    }
    cut_ = plain_ && !byte_level_ && !ignore_merges_ && cuts_at_metaspace();
  }

  // Where no merge joins what ends before a metaspace with it, the words between metaspaces are
  // independent: they can be remembered, and a long text needs no long heap.
  void tokenize(std::string_view piece, std::vector<std::int32_t>& out) const override {
    std::size_t begin = 0;
    while (cut_ && begin < piece.size()) {
      std::size_t at = begin;
      while (piece.compare(at, kMetaspace.size(), kMetaspace) == 0) {
        at += kMetaspace.size();
      }
      const std::size_t end = std::min(piece.size(), piece.find(kMetaspace, at));
      cached(piece.substr(begin, end - begin), out);
      begin = end;
    }
    if (!cut_) {
      cached(piece, out);
    }
  }

 private:
  [[nodiscard]] std::vector<BpeMerge> read_merges(const JsonNode& node) const;

  [[nodiscard]] bool cuts_at_metaspace() const {
    if (tokens_.find(kMetaspace) < 0) {
      return false;
    }
    for (const BpeMerge& merge : merges_->merges()) {
      const std::string_view text = tokens_.text(merge.result).value_or("");
      std::size_t at = 0;
      while (text.compare(at, kMetaspace.size(), kMetaspace) == 0) {
        at += kMetaspace.size();
      }
      if (text.find(kMetaspace, at) != std::string_view::npos) {
        return false;
      }
    }
    return true;
  }

  void make_ids(std::string_view piece, std::vector<std::int32_t>& out) const override {
    if (ignore_merges_) {
      const std::int32_t whole =
          tokens_.find(byte_level_ ? to_byte_characters(piece) : std::string(piece));
      if (whole >= 0) {
        out.push_back(whole);
        return;
      }
    }
    symbols_.clear();
    if (byte_level_ && all_bytes_) {
      for (const char c : piece) {
        symbols_.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      }
    } else if (byte_level_) {
      add_characters(to_byte_characters(piece));
    } else {
      add_characters(piece);
    }
    merges_->apply(symbols_);
    out.insert(out.end(), symbols_.begin(), symbols_.end());
  }

  // Ids of the characters before any merge. An unknown character waits in `unknown` until the next
  // known one, so that neighbours can fuse; with byte fallback it waits past bytes, as in the
  // reference.
  void add_characters(std::string_view piece) const {
    bool unknown = false;
    for (std::size_t at = 0; at < piece.size();) {
      const auto length = static_cast<std::size_t>(std::max(1, decode_utf8(piece, at).length));
      const std::string_view character = piece.substr(at, length);
      const bool first = at == 0;
      at += length;
      std::string dressed;
      if (!plain_) {
        dressed =
            (first ? "" : prefix_) + std::string(character) + (at == piece.size() ? suffix_ : "");
      }
      const std::string_view text = plain_ ? character : std::string_view(dressed);
      const std::int32_t id = plain_ && length == 1
                                  ? ascii_ids_[static_cast<unsigned char>(text[0])]
                                  : tokens_.find(text);
      if (id >= 0) {
        flush(unknown, piece);
        symbols_.push_back(id);
        continue;
      }
      if ((byte_fallback_ && add_bytes(text)) || !has_unk_) {
        continue;
      }
      if (!fuse_unk_) {
        flush(unknown, piece);
      }
      unknown = true;
    }
    flush(unknown, piece);
  }

  void flush(bool& unknown, std::string_view piece) const {
    if (unknown) {
      if (unk_ < 0) {
        no_unknown(piece);
      }
      symbols_.push_back(unk_);
      unknown = false;
    }
  }

  [[nodiscard]] bool add_bytes(std::string_view text) const {
    for (const char c : text) {
      if (fallback_ids_[static_cast<unsigned char>(c)] < 0) {
        return false;
      }
    }
    for (const char c : text) {
      symbols_.push_back(fallback_ids_[static_cast<unsigned char>(c)]);
    }
    return true;
  }

  bool byte_level_;
  std::string prefix_;
  std::string suffix_;
  bool fuse_unk_;
  bool byte_fallback_;
  bool ignore_merges_;
  bool has_unk_ = false;
  bool plain_ = true;      // no prefix and suffix
  bool all_bytes_ = true;  // each byte has a token, so bytes are symbols
  bool cut_ = false;
  std::int32_t unk_ = -1;
  std::array<std::int32_t, 256> byte_ids_{};      // of stand-ins
  std::array<std::int32_t, 256> fallback_ids_{};  // of <0x..>
  std::array<std::int32_t, 256> ascii_ids_{};
  std::optional<BpeMerges> merges_;
  mutable std::vector<std::int32_t> symbols_;
};

// Both forms: ["left", "right"] and "left right".
std::vector<BpeMerge> BpeTokenModel::read_merges(const JsonNode& node) const {
  std::vector<BpeMerge> merges;
  merges.reserve(node.size());
  std::string joined;
  for (std::size_t i = 0; i < node.size(); ++i) {
    const nlohmann::json& merge = node.value()[i];
    std::string_view left;
    std::string_view right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    } else if (merge.is_string()) {
      const std::string_view both = merge.get_ref<const std::string&>();
      if (both.starts_with("#version")) {
        continue;
      }
      const std::size_t space = both.find(' ');
      if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) {
        node.at(i).fail("must be two tokens with one space between them");
      }
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else {
      node.at(i).fail("must be a pair of tokens");
    }
    if (right.size() < prefix_.size()) {
      node.at(i).fail("lacks the prefix " + prefix_ + " in its second token");
    }
    joined = left;
    joined += right.substr(prefix_.size());
    const BpeMerge made{tokens_.find(left), tokens_.find(right), tokens_.find(joined)};
    if (made.left < 0 || made.right < 0 || made.result < 0) {
      node.at(i).fail("names a token that is not in the vocabulary: " +
                      std::string(made.left < 0    ? left
                                  : made.right < 0 ? right
                                                   : joined));
    }
    merges.push_back(made);
  }
  return merges;
}

}  // namespace

std::unique_ptr<TokenModel> make_bpe_model(const JsonNode& node, bool byte_level) {
  return std::make_unique<BpeTokenModel>(node, byte_level);
}

}  // namespace finescale
