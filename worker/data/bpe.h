// SPDX-License-Identifier: Apache-2.0
// Learning byte-pair merges from counted pieces. Pure; the same pieces give the same merges on any
// machine.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace finescale {

struct BpeMerge {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int32_t result = 0;
};

// Learns up to num_merges merges from pieces with counts: the most frequent pair first, ties by the
// smaller left and then right symbol. Results are numbered from first_result on. Stops early when
// no pair occurs twice.
[[nodiscard]] std::vector<BpeMerge> train_bpe(
    const std::unordered_map<std::string, std::int64_t>& pieces, std::int32_t num_merges,
    std::int32_t first_result);

}  // namespace finescale
