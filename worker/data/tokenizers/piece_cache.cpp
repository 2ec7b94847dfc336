// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/piece_cache.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <utility>

namespace finescale {

namespace {
constexpr std::size_t kFirstSlots = 1 << 12;
constexpr std::size_t kMaxSlots = 1 << 18;   // 6 MiB; words of a large corpus fit
constexpr std::size_t kMaxBytes = 16 << 20;  // of texts and ids
}  // namespace

PieceCache::PieceCache() : slots_(kFirstSlots) {}

std::uint64_t PieceCache::hash(std::string_view piece) noexcept {
  return XXH3_64bits(piece.data(), piece.size());
}

void PieceCache::clear() {
  slots_.assign(slots_.size(), Slot{});
  used_ = 0;
  texts_.clear();
  ids_.clear();
}

void PieceCache::grow() {
  std::vector<Slot> old(slots_.size() * 4);
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.length != 0) {
      std::size_t at = slot.hash & mask;
      while (slots_[at].length != 0) {
        at = (at + 1) & mask;
      }
      slots_[at] = slot;
    }
  }
}

void PieceCache::insert(std::string_view piece, std::uint64_t hash,
                        std::span<const std::int32_t> ids) {
  if (piece.empty() || piece.size() > kMaxPieceBytes) {
    return;
  }
  if ((used_ + 1) * 2 > slots_.size()) {
    if (slots_.size() < kMaxSlots) {
      grow();
    } else {
      clear();
    }
  }
  if (texts_.size() + ids_.size() * sizeof(std::int32_t) > kMaxBytes) {
    clear();
  }
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at].length != 0) {
    at = (at + 1) & mask;
  }
  slots_[at] = {hash, static_cast<std::uint32_t>(texts_.size()),
                static_cast<std::uint32_t>(ids_.size()), static_cast<std::uint16_t>(piece.size()),
                static_cast<std::uint16_t>(ids.size())};
  texts_ += piece;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++used_;
}

}  // namespace finescale
