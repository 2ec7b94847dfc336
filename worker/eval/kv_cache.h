// SPDX-License-Identifier: Apache-2.0
// Keys and values of the sequences that are decoded together. A sequence holds as many pages as its
// length needs; those of a finished one go to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/tensor.h"
#include "kernels/cached_attention.h"

namespace finescale {

class KvCache {
 public:
  // A page holds kCachePage positions of all `layers`; sequences have at most `positions`.
  KvCache(const AttentionShape& shape, int layers, DType dtype, int sequences,
          std::int64_t positions);

  // Room for positions [0, positions) of a sequence. Throws kResource when memory is short.
  void reserve(int sequence, std::int64_t positions);
  void release(int sequence);
  // A sequence that holds nothing begins with positions [0, positions) of another.
  void begin_as(int sequence, int other, std::int64_t positions);

  // Stays where it is while the sequence grows.
  [[nodiscard]] void* const* pages(int sequence) const {
    return held_[static_cast<std::size_t>(sequence)].data();
  }
  [[nodiscard]] std::int64_t offset(int layer) const noexcept { return layer * layer_elements_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return memory_.size() * block_pages_ * page_bytes_;
  }

 private:
  void add_block();

  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  std::int64_t layer_elements_;
  std::size_t page_bytes_;
  std::size_t block_pages_;  // that are allocated at once
  std::vector<std::unique_ptr<void, Free>> memory_;
  std::vector<void*> free_;
  std::vector<std::vector<void*>> held_;  // by sequence
};

}  // namespace finescale
