// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/aligned_memory.h"
#include "core/error.h"

namespace finescale {

namespace {

// Blocks this large lie in large pages of the machine: reading keys and values that are spread over
// a gigabyte takes three quarters of the time then.
constexpr std::size_t kBlockBytes = std::size_t{8} << 20;

}  // namespace

KvCache::KvCache(const AttentionShape& shape, int layers, DType dtype, int sequences,
                 std::int64_t positions)
    : layer_elements_(cache_page_elements(shape)),
      page_bytes_(static_cast<std::size_t>(layers * layer_elements_) * dtype_size(dtype)),
      held_(static_cast<std::size_t>(sequences)) {
  const auto most = static_cast<std::size_t>((positions + kCachePage - 1) / kCachePage);
  for (std::vector<void*>& pages : held_) {
    pages.reserve(most);
  }
  const std::size_t wanted = kBlockBytes / std::max<std::size_t>(1, page_bytes_) + 1;
  block_pages_ = std::clamp<std::size_t>(held_.size() * most, 1, wanted);
}

void KvCache::add_block() {
  const std::size_t size = std::max<std::size_t>(1, block_pages_ * page_bytes_);
  memory_.emplace_back(allocate_aligned(size));  // not cleared: read only where it was stored
  if (memory_.back() == nullptr) {
    memory_.pop_back();
    throw Error(ErrorKind::kResource,
                "cannot allocate " + std::to_string(size >> 20) + " MiB of keys and values", {},
                "generate for fewer sequences at once");
  }
  for (std::size_t page = block_pages_; page > 0; --page) {
    free_.push_back(static_cast<std::byte*>(memory_.back().get()) + (page - 1) * page_bytes_);
  }
}

void KvCache::reserve(int sequence, std::int64_t positions) {
  std::vector<void*>& pages = held_[static_cast<std::size_t>(sequence)];
  while (static_cast<std::int64_t>(pages.size()) * kCachePage < positions) {
    if (free_.empty()) {
      add_block();
    }
    pages.push_back(free_.back());
    free_.pop_back();
  }
}

void KvCache::begin_as(int sequence, int other, std::int64_t positions) {
  reserve(sequence, positions);
  const std::int64_t count = (positions + kCachePage - 1) / kCachePage;
  for (std::int64_t page = 0; page < count; ++page) {  // whole: what lies behind is written anew
    std::memcpy(pages(sequence)[page], pages(other)[page], page_bytes_);
  }
}

void KvCache::release(int sequence) {
  std::vector<void*>& pages = held_[static_cast<std::size_t>(sequence)];
  free_.insert(free_.end(), pages.rbegin(), pages.rend());
  pages.clear();
}

}  // namespace finescale
