// SPDX-License-Identifier: Apache-2.0
#include "worker/data/bpe.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

namespace finescale {

namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) noexcept {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

struct Word {
  std::vector<std::int32_t> symbols;
  std::int64_t count;
};

class Trainer {
 public:
  explicit Trainer(const std::unordered_map<std::string, std::int64_t>& pieces) {
    std::vector<std::pair<std::string, std::int64_t>> sorted(pieces.begin(), pieces.end());
    std::sort(sorted.begin(), sorted.end());  // a hash map's order must not matter
    for (const auto& [piece, count] : sorted) {
      Word word{{}, count};
      for (const char c : piece) {
        word.symbols.push_back(static_cast<unsigned char>(c));
      }
      words_.push_back(std::move(word));
    }
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const Word& word = words_[i];
      for (std::size_t p = 0; p + 1 < word.symbols.size(); ++p) {
        change(word.symbols[p], word.symbols[p + 1], word.count, i);
      }
    }
    for (const auto& [key, pair] : pairs_) {
      push(key);
    }
  }

  std::vector<BpeMerge> run(std::int32_t num_merges, std::int32_t result) {
    std::vector<BpeMerge> merges;
    while (static_cast<std::int32_t>(merges.size()) < num_merges && !heap_.empty()) {
      const auto [count, negative_left, negative_right] = heap_.top();
      heap_.pop();
      const std::int32_t left = -negative_left;
      const std::int32_t right = -negative_right;
      Pair& pair = pairs_[pair_key(left, right)];
      if (pair.count != count) {
        continue;  // stale
      }
      if (count < 2) {
        break;
      }
      merges.push_back({left, right, result});
      merge(left, right, result, pair);
      ++result;
    }
    return merges;
  }

 private:
  struct Pair {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;  // may repeat a word or hold one that lost the pair
  };

  void push(std::uint64_t key) {
    heap_.emplace(pairs_[key].count, -static_cast<std::int32_t>(key >> 32),
                  -static_cast<std::int32_t>(key & 0xFFFFFFFF));
  }

  void change(std::int32_t left, std::int32_t right, std::int64_t amount, std::size_t word) {
    Pair& pair = pairs_[pair_key(left, right)];
    pair.count += amount;
    if (amount > 0 && (pair.words.empty() || pair.words.back() != word)) {
      pair.words.push_back(static_cast<std::uint32_t>(word));
    }
  }

  void merge(std::int32_t left, std::int32_t right, std::int32_t result, Pair& pair) {
    const std::vector<std::uint32_t> touched = std::move(pair.words);
    pair.words.clear();
    pair.count = 0;
    std::vector<std::uint64_t> changed;
    for (const std::uint32_t index : touched) {
      Word& word = words_[index];
      std::vector<std::int32_t>& s = word.symbols;
      for (std::size_t p = 0; p + 1 < s.size(); ++p) {
        if (s[p] != left || s[p + 1] != right) {
          continue;
        }
        if (p > 0) {
          update(s[p - 1], left, -word.count, index, changed);
          update(s[p - 1], result, word.count, index, changed);
        }
        if (p + 2 < s.size()) {
          update(right, s[p + 2], -word.count, index, changed);
          update(result, s[p + 2], word.count, index, changed);
        }
        s[p] = result;
        s.erase(s.begin() + static_cast<std::ptrdiff_t>(p) + 1);
      }
    }
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    const std::uint64_t merged = pair_key(left, right);
    for (const std::uint64_t key : changed) {
      if (key != merged && pairs_[key].count > 0) {
        push(key);
      }
    }
    pairs_[merged].count = 0;
  }

  void update(std::int32_t left, std::int32_t right, std::int64_t amount, std::size_t word,
              std::vector<std::uint64_t>& changed) {
    change(left, right, amount, word);
    changed.push_back(pair_key(left, right));
  }

  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Pair> pairs_;
  std::priority_queue<std::tuple<std::int64_t, std::int32_t, std::int32_t>>
      heap_;  // count, -left, -right
};

}  // namespace

std::vector<BpeMerge> train_bpe(const std::unordered_map<std::string, std::int64_t>& pieces,
                                std::int32_t num_merges, std::int32_t first_result) {
  // Bytes are numbered 0..255 in training; results follow at 256 and are shifted to where the
  // caller wants them.
  std::vector<BpeMerge> merges = Trainer(pieces).run(num_merges, 256);
  for (BpeMerge& merge : merges) {
    for (std::int32_t* symbol : {&merge.left, &merge.right, &merge.result}) {
      *symbol += *symbol >= 256 ? first_result - 256 : 0;
    }
  }
  return merges;
}

}  // namespace finescale
