// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>

#include "worker/data/tokenizers/byte_trie.h"
#include "worker/data/tokenizers/model.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

// SentencePiece's unigram language model (Kudo 2018): the segmentation with the highest sum of
// scores, by Viterbi over byte positions. The first of equal paths stays, as in the reference.
class UnigramModel final : public TokenModel {
 public:
  explicit UnigramModel(const JsonNode& node)
      : byte_fallback_(node.flag_or("byte_fallback", false)) {
    read_pieces(node.at("vocab"));
    if (const auto unk = node.find("unk_id")) {
      if (scores_.empty()) {
        node.at("vocab").fail("is empty");
      }
      unk_ =
          static_cast<std::int32_t>(unk->integer(0, static_cast<std::int64_t>(scores_.size()) - 1));
    }
    for (int byte = 0; byte < 256; ++byte) {
      fallback_ids_[static_cast<std::size_t>(byte)] =
          tokens_.find(byte_token(static_cast<unsigned char>(byte)));
    }
  }

 private:
  static constexpr double kUnknownPenalty = 10;

  struct Best {  // path that ends at a byte
    double score = 0;
    std::int32_t id = 0;
    std::int32_t begin = -1;  // of its last piece; -1: no path ends here
  };

  void read_pieces(const JsonNode& node) {
    std::vector<std::pair<std::string, std::int32_t>> texts;
    num_entries_ = node.size();
    tokens_.reserve(num_entries_);
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < num_entries_; ++i) {
      const nlohmann::json& entry = node.value()[i];
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() ||
          !entry[1].is_number()) {
        node.at(i).fail("must be a text and its score");
      }
      const auto id = static_cast<std::int32_t>(i);
      tokens_.add(entry[0].get_ref<const std::string&>(), id);
      texts.emplace_back(entry[0].get_ref<const std::string&>(), id);
      scores_.push_back(entry[1].get<double>());
      least = std::min(least, scores_.back());
    }
    unknown_score_ = least - kUnknownPenalty;
    trie_ = ByteTrie(std::move(texts));
  }

  void make_ids(std::string_view piece, std::vector<std::int32_t>& out) const override {
    find_best_paths(piece);
    // Backwards; neighbours that are unknown become one piece.
    pieces_.clear();
    bool fusing = false;
    for (std::size_t end = piece.size(); end > 0;) {
      const Best& best = best_[end];
      const auto begin = static_cast<std::size_t>(best.begin);
      const bool unknown = unk_ >= 0 && best.id == unk_;
      if (unknown && fusing) {
        pieces_.back().first = begin;
      } else {
        pieces_.emplace_back(begin, end);
      }
      fusing = unknown;
      end = begin;
    }
    for (auto it = pieces_.rbegin(); it != pieces_.rend(); ++it) {
      add_piece(piece.substr(it->first, it->second - it->first), out);
    }
  }

  void find_best_paths(std::string_view piece) const {
    best_.assign(piece.size() + 1, Best{});
    for (std::size_t at = 0; at < piece.size();) {
      const auto length = static_cast<std::size_t>(std::max(1, decode_utf8(piece, at).length));
      const double here = best_[at].score;
      const auto offer = [&](std::size_t bytes, double score, std::int32_t id) {
        Best& target = best_[at + bytes];
        if (target.begin < 0 || score + here > target.score) {
          target = {score + here, id, static_cast<std::int32_t>(at)};
        }
      };
      bool single = false;
      trie_.prefixes(piece, at, [&](std::size_t bytes, std::int32_t id) {
        offer(bytes, scores_[static_cast<std::size_t>(id)], id);
        single = single || bytes == length;
      });
      if (!single) {
        if (unk_ < 0) {
          no_unknown(piece.substr(at, length));
        }
        offer(length, unknown_score_, unk_);
      }
      at += length;
    }
  }

  void add_piece(std::string_view text, std::vector<std::int32_t>& out) const {
    if (const std::int32_t id = tokens_.find(text); id >= 0) {
      out.push_back(id);
      return;
    }
    const bool bytes = byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) {
                         return fallback_ids_[static_cast<unsigned char>(c)] >= 0;
                       });
    if (bytes) {
      for (const char c : text) {
        out.push_back(fallback_ids_[static_cast<unsigned char>(c)]);
      }
      return;
    }
    if (unk_ < 0) {
      no_unknown(text);
    }
    out.push_back(unk_);
  }

  bool byte_fallback_;
  std::int32_t unk_ = -1;
  double unknown_score_ = 0;
  std::vector<double> scores_;
  std::array<std::int32_t, 256> fallback_ids_{};
  ByteTrie trie_;
  mutable std::vector<Best> best_;
  mutable std::vector<std::pair<std::size_t, std::size_t>> pieces_;  // last first
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram_model(const JsonNode& node) {
  return std::make_unique<UnigramModel>(node);
}

}  // namespace finescale
