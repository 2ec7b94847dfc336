// SPDX-License-Identifier: Apache-2.0
// Ids of pieces seen before, bounded in memory: when full it starts anew. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

class PieceCache {
 public:
  static constexpr std::size_t kMaxPieceBytes = 64;  // longer pieces are rare and would fill it

  PieceCache();
  // Appends the ids of a piece it holds; false when it does not.
  [[nodiscard]] bool append(std::string_view piece, std::uint64_t hash,
                            std::vector<std::int32_t>& out) const {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = hash & mask; slots_[at].length != 0; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.hash == hash && slot.length == piece.size() &&
          std::string_view(texts_).substr(slot.text, slot.length) == piece) {
        const auto first = ids_.begin() + slot.ids;
        out.insert(out.end(), first, first + slot.num_ids);
        return true;
      }
    }
    return false;
  }
  void insert(std::string_view piece, std::uint64_t hash, std::span<const std::int32_t> ids);
  static std::uint64_t hash(std::string_view piece) noexcept;

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t text = 0;
    std::uint32_t ids = 0;
    std::uint16_t length = 0;  // of the piece in bytes; 0: free
    std::uint16_t num_ids = 0;
  };
  void clear();
  void grow();

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  std::string texts_;
  std::vector<std::int32_t> ids_;
};

}  // namespace finescale
