// SPDX-License-Identifier: Apache-2.0
#include "worker/data/operators/bm25.h"

#include <cctype>
#include <cmath>
#include <map>

namespace finescale {

namespace {

constexpr double kSaturation = 1.2;   // k1
constexpr double kLengthPart = 0.75;  // b

// Sorted: sums are taken in one order.
std::map<std::string, std::uint32_t> words_of(const std::string& text) {
  std::map<std::string, std::uint32_t> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) {
      ++words[word];
      word.clear();
    }
  };
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 128 || std::isalnum(byte) != 0) {
      word += static_cast<char>(std::tolower(byte));
    } else {
      end_word();
    }
  }
  end_word();
  return words;
}

}  // namespace

Bm25::Bm25(const std::vector<std::string>& texts) {
  double total = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    double length = 0;
    for (const auto& [word, count] : words_of(texts[i])) {
      postings_[word].push_back({static_cast<std::uint32_t>(i), count});
      length += count;
    }
    lengths_.push_back(length);
    total += length;
  }
  const double mean = total > 0 ? total / static_cast<double>(texts.size()) : 1;
  for (double& length : lengths_) {
    length /= mean;
  }
}

std::vector<double> Bm25::scores(const std::string& query) const {
  std::vector<double> scores(lengths_.size(), 0);
  const auto n = static_cast<double>(lengths_.size());
  for (const auto& [word, asked] : words_of(query)) {
    const auto found = postings_.find(word);
    if (found == postings_.end()) {
      continue;
    }
    const auto holders = static_cast<double>(found->second.size());
    // With 1 inside, words that most texts have count little instead of against.
    const double rarity = std::log(1 + (n - holders + 0.5) / (holders + 0.5));
    for (const Posting& posting : found->second) {
      const double count = posting.count;
      const double length = 1 - kLengthPart + kLengthPart * lengths_[posting.text];
      scores[posting.text] +=
          asked * rarity * count * (kSaturation + 1) / (count + kSaturation * length);
    }
  }
  return scores;
}

}  // namespace finescale
