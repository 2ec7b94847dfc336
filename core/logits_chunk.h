// SPDX-License-Identifier: Apache-2.0
// How many rows of logits the head works on at a time, and how far apart: the engine allocates by
// these rules, the planner counts by them. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace finescale {

// For a vocabulary (or a rank's part of it) of so many columns. max_tokens: of a micro-batch.
[[nodiscard]] constexpr std::int64_t logits_chunk_rows(std::int64_t vocab_size,
                                                       std::int64_t element_bytes, bool on_gpu,
                                                       std::int64_t max_tokens) noexcept {
  if (on_gpu) {
    // 1 GiB: with fewer rows the products wait for the head and its gradient.
    const std::int64_t elements = (std::int64_t{1} << 30) / element_bytes;
    return std::min(max_tokens, std::clamp<std::int64_t>(elements / vocab_size, 512, 16384));
  }
  // 2 MiB of logits stay in the L2 of current servers; below 128 rows the products wait for the
  // head and its gradient, which they read and write once a chunk.
  const std::int64_t elements = (std::int64_t{2} << 20) / element_bytes;
  return std::clamp<std::int64_t>(elements / vocab_size, 128, 1024);
}

// Elements between rows of logits. On a GPU they begin on 16 bytes: whatever the vocabulary, rows
// move in packs, and the gradient may lie in them as an operand of products.
[[nodiscard]] constexpr std::int64_t logits_stride(std::int64_t vocab_size,
                                                   std::int64_t element_bytes,
                                                   bool on_gpu) noexcept {
  const std::int64_t unit = on_gpu && element_bytes < 16 ? 16 / element_bytes : 1;
  return (vocab_size + unit - 1) / unit * unit;
}

}  // namespace finescale
