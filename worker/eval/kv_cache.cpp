// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/kv_cache.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/aligned_memory.h"
#include "core/error.h"
#include "core/transfer.h"

namespace finescale {

namespace {

// Blocks this large lie in large pages of the machine: reading keys and values that are spread over
// a gigabyte takes three quarters of the time then.
constexpr std::size_t kBlockBytes = std::size_t{8} << 20;

}  // namespace

KvCache::KvCache(const Stream& stream, const AttentionShape& shape, int layers, DType dtype,
                 int sequences, std::int64_t positions)
    : stream_(stream),
      layer_elements_(cache_page_elements(shape)),
      page_bytes_(static_cast<std::size_t>(layers * layer_elements_) * dtype_size(dtype)),
      most_pages_(static_cast<std::size_t>((positions + kCachePage - 1) / kCachePage)),
      table_(static_cast<std::size_t>(sequences) * most_pages_),
      num_pages_(static_cast<std::size_t>(sequences)) {
  const std::size_t wanted = kBlockBytes / std::max<std::size_t>(1, page_bytes_) + 1;
  block_pages_ = std::clamp<std::size_t>(table_.size(), 1, wanted);
  if (stream.on_gpu()) {
    device_table_ =
        AlignedBuffer(table_.size() * sizeof(void*), stream, MemoryPurpose::kActivations);
  }
}

void KvCache::Free::operator()(void* memory) const noexcept {
  gpu == nullptr ? std::free(memory) : gpu->release(memory);
}

// Not cleared: read only where it was stored.
void* KvCache::allocate(std::size_t size_bytes) const {
  return stream_.on_gpu() ? stream_.gpu()->allocate(size_bytes, MemoryPurpose::kActivations)
                          : allocate_aligned(size_bytes);
}

void KvCache::add_block() {
  const std::size_t size = std::max<std::size_t>(1, block_pages_ * page_bytes_);
  memory_.emplace_back(allocate(size), Free{stream_.gpu()});
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
  std::size_t& count = num_pages_[static_cast<std::size_t>(sequence)];
  while (static_cast<std::int64_t>(count) * kCachePage < positions) {
    FS_CHECK(count < most_pages_, "a sequence has no more positions than it may");
    if (free_.empty()) {
      add_block();
    }
    const std::size_t at = static_cast<std::size_t>(sequence) * most_pages_ + count++;
    table_[at] = free_.back();
    free_.pop_back();
    changed_begin_ = changed_begin_ == changed_end_ ? at : std::min(changed_begin_, at);
    changed_end_ = std::max(changed_end_, at + 1);
  }
}

void KvCache::begin_as(int sequence, int other, std::int64_t positions) {
  reserve(sequence, positions);
  const std::int64_t count = (positions + kCachePage - 1) / kCachePage;
  for (std::int64_t page = 0; page < count; ++page) {  // whole: what lies behind is written anew
    copy_on_device(stream_, pages(other)[page], pages(sequence)[page], page_bytes_);
  }
}

void KvCache::publish() {
  if (stream_.on_gpu() && changed_end_ > changed_begin_) {
    copy_to_device(stream_, table_.data() + changed_begin_,
                   static_cast<void**>(device_table_.data()) + changed_begin_,
                   (changed_end_ - changed_begin_) * sizeof(void*));
  }
  changed_begin_ = changed_end_ = 0;
}

void KvCache::release(int sequence) {
  std::size_t& count = num_pages_[static_cast<std::size_t>(sequence)];
  void* const* held = pages(sequence);
  while (count > 0) {
    free_.push_back(held[--count]);
  }
}

}  // namespace finescale
