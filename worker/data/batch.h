// SPDX-License-Identifier: Apache-2.0
// A packed micro-batch: one flat stream of tokens cut into segments, one per example. No padding
// exists.
#pragma once

#include <cstdint>
#include <vector>

namespace finescale {

struct MicroBatch {
  std::vector<std::int32_t> tokens;  // [T]
  std::vector<std::int32_t>
      labels;  // [T] the next token of the segment where it is scored, else kIgnoreLabel
  std::vector<std::int32_t> positions;  // [T] from 0 in each segment
  std::vector<std::int32_t> segments;   // [S + 1] offsets, first 0, last T
  std::vector<std::int64_t> examples;   // [S] index in the pool; of a pair twice
  std::vector<double> weights;          // [S] of the segment in the loss; empty: ones
  std::int64_t num_labels = 0;
  std::int64_t num_pairs = 0;  // whose segments follow each other
  [[nodiscard]] std::int64_t num_tokens() const noexcept {
    return static_cast<std::int64_t>(tokens.size());
  }
};

// One optimizer update. The cut into micro-batches depends on the batch alone, never on the mesh.
struct GlobalBatch {
  std::vector<MicroBatch> micro_batches;
  std::int64_t num_tokens = 0;
  std::int64_t num_labels = 0;
  std::int64_t num_pairs = 0;
  std::int64_t num_examples = 0;
  // The same by their weights in the loss, summed in the order of the examples.
  double label_weight = 0;
  double pair_weight = 0;
};

}  // namespace finescale
