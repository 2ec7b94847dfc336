// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/kv_cache.h"

namespace finescale {

KvCache::KvCache(const AttentionShape& shape, int layers, DType dtype, int sequences,
                 std::int64_t positions)
    : layer_elements_(cache_page_elements(shape)),
      page_bytes_(static_cast<std::size_t>(layers * layer_elements_) * dtype_size(dtype)),
      held_(static_cast<std::size_t>(sequences)) {
  for (std::vector<void*>& pages : held_) {
    pages.reserve(static_cast<std::size_t>((positions + kCachePage - 1) / kCachePage));
  }
}

void KvCache::reserve(int sequence, std::int64_t positions) {
  std::vector<void*>& pages = held_[static_cast<std::size_t>(sequence)];
  while (static_cast<std::int64_t>(pages.size()) * kCachePage < positions) {
    if (free_.empty()) {
      memory_.emplace_back(page_bytes_);
      free_.push_back(memory_.back().data());
    }
    pages.push_back(free_.back());
    free_.pop_back();
  }
}

void KvCache::release(int sequence) {
  std::vector<void*>& pages = held_[static_cast<std::size_t>(sequence)];
  free_.insert(free_.end(), pages.rbegin(), pages.rend());
  pages.clear();
}

}  // namespace finescale
