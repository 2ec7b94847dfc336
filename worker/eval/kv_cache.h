// SPDX-License-Identifier: Apache-2.0
// Keys and values of the sequences that are decoded together, in the memory of a stream's device. A
// sequence holds as many pages as its length needs; those of a finished one go to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/cached_attention.h"

namespace finescale {

class KvCache {
 public:
  // A page holds kCachePage positions of all `layers`; sequences have at most `positions`.
  KvCache(const Stream& stream, const AttentionShape& shape, int layers, DType dtype, int sequences,
          std::int64_t positions);

  // Room for positions [0, positions) of a sequence. Throws kResource or kDevice when memory is
  // short.
  void reserve(int sequence, std::int64_t positions);
  void release(int sequence);
  // A sequence that holds nothing begins with positions [0, positions) of another.
  void begin_as(int sequence, int other, std::int64_t positions);
  // The tables of pages as they are now, to where a GPU reads them: before a pass.
  void publish();

  // Stays where it is while the sequence grows.
  [[nodiscard]] void* const* pages(int sequence) const {
    return table_.data() + static_cast<std::size_t>(sequence) * most_pages_;
  }
  // The same in the GPU's memory, as it was published; null on the CPU.
  [[nodiscard]] void* const* device_pages(int sequence) const {
    return device_table_.data() == nullptr ? nullptr
                                           : static_cast<void* const*>(device_table_.data()) +
                                                 static_cast<std::size_t>(sequence) * most_pages_;
  }
  [[nodiscard]] std::int64_t offset(int layer) const noexcept { return layer * layer_elements_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return memory_.size() * block_pages_ * page_bytes_;
  }

 private:
  void add_block();
  [[nodiscard]] void* allocate(std::size_t size_bytes) const;

  struct Free {
    Gpu* gpu = nullptr;  // null: the host's
    void operator()(void* memory) const noexcept;
  };
  Stream stream_;
  std::int64_t layer_elements_;
  std::size_t page_bytes_;
  std::size_t block_pages_;  // that are allocated at once
  std::size_t most_pages_;   // of a sequence
  std::vector<std::unique_ptr<void, Free>> memory_;
  std::vector<void*> free_;
  std::vector<void*> table_;  // [sequences, most_pages_]
  std::vector<std::size_t> num_pages_;
  AlignedBuffer device_table_;
  std::size_t changed_begin_ = 0;  // entries of the table that were not published
  std::size_t changed_end_ = 0;
};

}  // namespace finescale
