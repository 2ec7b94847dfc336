// SPDX-License-Identifier: Apache-2.0
#include "core/caching_memory.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/error.h"

namespace finescale {

namespace {

// What cudaMalloc aligns to, twice: a block's rest is worth keeping from here on.
constexpr std::size_t kGranule = 512;
// The unit in which the driver maps memory: asking for less wastes the rest.
constexpr std::size_t kSegment = std::size_t{2} << 20;

std::size_t rounded(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

}  // namespace

CachingMemory::~CachingMemory() {
  for (const auto& [begin, size] : segments_) {
    source_->give_back(begin);
  }
}

void CachingMemory::mark_free(Blocks::iterator block) {
  block->second.is_free = true;
  free_.emplace(block->second.size, block->first);
}

void CachingMemory::unmark_free(Blocks::iterator block) {
  block->second.is_free = false;
  free_.erase({block->second.size, block->first});
}

CachingMemory::Blocks::iterator CachingMemory::take_segment(std::size_t size) {
  const std::size_t wanted = rounded(size, kSegment);
  void* memory = source_->take(wanted);
  if (memory == nullptr) {
    trim();
    memory = source_->take(wanted);
  }
  if (memory == nullptr) {
    return blocks_.end();
  }
  auto* begin = static_cast<std::byte*>(memory);
  segments_.emplace(begin, wanted);
  held_ += wanted;
  ++num_taken_;
  return blocks_.emplace(begin, Block{wanted, begin, false}).first;
}

void CachingMemory::split(Blocks::iterator block, std::size_t size) {
  const std::size_t rest = block->second.size - size;
  if (rest < kGranule) {
    return;
  }
  block->second.size = size;
  mark_free(blocks_.emplace(block->first + size, Block{rest, block->second.segment, false}).first);
}

void* CachingMemory::allocate(std::size_t size_bytes) {
  const std::size_t size = rounded(std::max<std::size_t>(size_bytes, 1), kGranule);
  Blocks::iterator block = blocks_.end();
  if (const auto fit = free_.lower_bound({size, nullptr}); fit != free_.end()) {
    block = blocks_.find(fit->second);
    unmark_free(block);
  } else {
    block = take_segment(size);
    if (block == blocks_.end()) {
      return nullptr;
    }
  }
  split(block, size);
  in_use_ += block->second.size;
  peak_ = std::max(peak_, in_use_);
  return block->first;
}

void CachingMemory::release(void* memory) noexcept {
  auto block = blocks_.find(static_cast<std::byte*>(memory));
  if (block == blocks_.end() || block->second.is_free) {
    return;  // not ours: the owner types make this unreachable
  }
  in_use_ -= block->second.size;
  const auto joins = [&](Blocks::iterator other) {
    return other->second.is_free && other->second.segment == block->second.segment;
  };
  if (const auto next = std::next(block); next != blocks_.end() && joins(next)) {
    unmark_free(next);
    block->second.size += next->second.size;
    blocks_.erase(next);
  }
  if (block != blocks_.begin() && joins(std::prev(block))) {
    const auto previous = std::prev(block);
    unmark_free(previous);
    previous->second.size += block->second.size;
    blocks_.erase(block);
    block = previous;
  }
  mark_free(block);
}

bool CachingMemory::contains(const void* memory) const {
  auto* const address = static_cast<std::byte*>(const_cast<void*>(memory));
  const auto behind = blocks_.upper_bound(address);
  if (behind == blocks_.begin()) {
    return false;
  }
  const auto& [begin, block] = *std::prev(behind);
  return address < begin + block.size;
}

void CachingMemory::trim() noexcept {
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto block = blocks_.find(segment->first);
    if (block->second.is_free && block->second.size == segment->second) {
      unmark_free(block);
      blocks_.erase(block);
      source_->give_back(segment->first);
      held_ -= segment->second;
      segment = segments_.erase(segment);
    } else {
      ++segment;
    }
  }
}

}  // namespace finescale
