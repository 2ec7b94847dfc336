// SPDX-License-Identifier: Apache-2.0
// Texts by likeness of their words: Okapi BM25 with k1 = 1.2, b = 0.75 (Robertson and Zaragoza
// 2009). Words are runs of letters and digits in small letters; bytes above 127 are letters.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace finescale {

class Bm25 {
 public:
  explicit Bm25(const std::vector<std::string>& texts);

  // Of every text; 0 where no word is common.
  [[nodiscard]] std::vector<double> scores(const std::string& query) const;

 private:
  struct Posting {
    std::uint32_t text = 0;
    std::uint32_t count = 0;
  };
  std::unordered_map<std::string, std::vector<Posting>> postings_;
  std::vector<double> lengths_;  // in words, over the mean
};

}  // namespace finescale
