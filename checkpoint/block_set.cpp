// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/block_set.h"

#include <algorithm>
#include <span>

#include "core/hash.h"

namespace finescale {

std::vector<BlockSet> BlockSet::gather(Group& group) const {
  const auto size = static_cast<std::size_t>(group.size());
  std::vector<std::uint64_t> all(words_.size() * size);
  std::vector<std::size_t> offsets(size + 1);
  for (std::size_t rank = 0; rank <= size; ++rank) {
    offsets[rank] = rank * words_.size() * sizeof(std::uint64_t);
  }
  group.all_gather(std::as_bytes(std::span(words_)), std::as_writable_bytes(std::span(all)),
                   offsets);
  std::vector<BlockSet> sets(size, BlockSet(0));
  for (std::size_t rank = 0; rank < size; ++rank) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(rank * words_.size());
    sets[rank].words_.assign(begin, begin + static_cast<std::ptrdiff_t>(words_.size()));
  }
  return sets;
}

BlockRange range_of(const StoredFile& stored, std::int64_t block) {
  // Tensors are numbered in their order; empty ones have no block.
  const auto after = std::upper_bound(
      stored.tensors.begin(), stored.tensors.end(), block,
      [](std::int64_t number, const StoredTensor& tensor) { return number < tensor.first_block; });
  auto found = after;
  do {
    --found;
  } while (found != stored.tensors.begin() && found->num_blocks() == 0);
  const std::int64_t begin = (block - found->first_block) * kHashBlockBytes;
  return {&*found, found->offset + begin, std::min(kHashBlockBytes, found->size_bytes() - begin)};
}

std::string hash_block(const RawFile& file, const BlockRange& range,
                       std::vector<std::byte>& scratch) {
  scratch.resize(static_cast<std::size_t>(kHashBlockBytes));
  file.read_at(scratch.data(), static_cast<std::size_t>(range.size), range.offset);
  return hash_hex(
      {reinterpret_cast<const char*>(scratch.data()), static_cast<std::size_t>(range.size)});
}

void check_block(const StoredFile& stored, std::int64_t block, const std::string& hash) {
  const auto at = static_cast<std::size_t>(block * kHashCharacters);
  if (stored.hashes.compare(at, static_cast<std::size_t>(kHashCharacters), hash) != 0) {
    throw Error(ErrorKind::kCheckpoint, range_of(stored, block).tensor->path +
                                            " does not match its hash: the file is damaged");
  }
}

}  // namespace finescale
