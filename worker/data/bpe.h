// SPDX-License-Identifier: Apache-2.0
// Byte-pair merges over bytes: the model inside the tokenizer. Symbols are numbered here 0..255 for
// bytes, then merges in order; the tokenizer maps them to the ids of its vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace finescale {

struct BpeMerge {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int32_t result = 0;
};

class BpeModel {
 public:
  // Rank of a merge is its index.
  explicit BpeModel(std::vector<BpeMerge> merges);
  // Applies merges by rank, leftmost first, to the symbols in place: O(n log n).
  void apply(std::vector<std::int32_t>& symbols) const;
  [[nodiscard]] const std::vector<BpeMerge>& merges() const noexcept { return merges_; }

 private:
  std::vector<BpeMerge> merges_;
  std::unordered_map<std::uint64_t, std::int32_t> ranks_;
};

// Learns up to num_merges merges from pieces with counts: the most frequent pair first, ties by the
// smaller left and then right symbol. Results are numbered from first_result on. Stops early when
// no pair occurs twice.
[[nodiscard]] std::vector<BpeMerge> train_bpe(
    const std::unordered_map<std::string, std::int64_t>& pieces, std::int32_t num_merges,
    std::int32_t first_result);

}  // namespace finescale
