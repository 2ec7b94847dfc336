// SPDX-License-Identifier: Apache-2.0
// A set of blocks of a checkpoint (1 MiB of one tensor each, the last one of a tensor may be
// smaller), and how ranks share the work on blocks that none of them holds whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/raw_file.h"
#include "checkpoint/stored_file.h"
#include "comm/group.h"

namespace finescale {

class BlockSet {
 public:
  explicit BlockSet(std::int64_t num_blocks)
      : words_((static_cast<std::size_t>(num_blocks) + 63) / 64) {}
  void insert(std::int64_t block) { words_[word(block)] |= bit(block); }
  [[nodiscard]] bool has(std::int64_t block) const {
    return (words_[word(block)] & bit(block)) != 0;
  }
  // The sets of all ranks, in rank order. Collective.
  [[nodiscard]] std::vector<BlockSet> gather(Group& group) const;

 private:
  static std::size_t word(std::int64_t block) { return static_cast<std::size_t>(block) / 64; }
  static std::uint64_t bit(std::int64_t block) { return std::uint64_t{1} << (block % 64); }

  std::vector<std::uint64_t> words_;
};

struct BlockRange {  // where a block lies
  const StoredTensor* tensor = nullptr;
  std::int64_t offset = 0;  // bytes, in the file
  std::int64_t size = 0;
};
[[nodiscard]] BlockRange range_of(const StoredFile& stored, std::int64_t block);

// XXH3-128 in hex of a block as it lies in the file; `scratch` is memory for it, kept by the
// caller.
[[nodiscard]] std::string hash_block(const RawFile& file, const BlockRange& range,
                                     std::vector<std::byte>& scratch);
// Throws kCheckpoint, naming the tensor, unless the hash of the block is `hash`.
void check_block(const StoredFile& stored, std::int64_t block, const std::string& hash);

}  // namespace finescale
