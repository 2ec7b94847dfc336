// SPDX-License-Identifier: Apache-2.0
// Blocks that ranks hold in parts only: one rank, the owner, writes or reads such a block whole and
// in one transfer, and the parts travel between it and their ranks. Nobody then reads or writes
// rows of a few KiB, and the owner has the bytes to hash.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "checkpoint/block_set.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/claims.h"

namespace finescale {

struct OwnedBlock {
  std::int64_t block = 0;
  int owner = 0;
};

class BlockExchange {
 public:
  using UseBlock = std::function<void(const BlockRange&, std::int64_t block, std::span<std::byte>)>;

  // Every rank holds the same claims; `tensors` are this rank's.
  BlockExchange(Group& group, const StoredFile& stored, const Claims& claims,
                const std::vector<CheckpointTensor>& tensors)
      : group_(group),
        stored_(stored),
        claims_(claims),
        tensors_(tensors),
        send_(static_cast<std::size_t>(group.size())),
        receive_(static_cast<std::size_t>(group.size())) {}
  // The owner gets each of its blocks put together: write(...), which may throw. Collective, with
  // the same blocks on every rank; so is scatter.
  void gather(std::span<const OwnedBlock> blocks, const UseBlock& write);
  // The owner fills each of its blocks: read(...), which may throw; every rank's tensors get what
  // they hold of it.
  void scatter(std::span<const OwnedBlock> blocks, const UseBlock& read);

 private:
  struct Piece {  // elements [first, first + count) of a claim's memory
    const Claim* claim = nullptr;
    std::int64_t in_block = 0;  // bytes
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  using Buffers = std::vector<std::vector<std::byte>>;  // by rank

  void for_each_piece(std::int64_t block, int rank,
                      const std::function<void(const Piece&)>& body) const;
  // Sizes the buffers for what each rank sends to this owner, or what this rank sends to each.
  void size_for_owner(std::span<const OwnedBlock> blocks, Buffers& buffers) const;
  void size_for_holder(std::span<const OwnedBlock> blocks, Buffers& buffers) const;
  void transfer();
  [[nodiscard]] std::vector<OwnedBlock> own(std::span<const OwnedBlock> blocks) const;
  [[nodiscard]] std::size_t bytes_of(std::int64_t block, int rank) const;
  // The owner's side: from what the ranks sent to the block, and back.
  void put_together(std::int64_t block, std::byte* content, std::vector<std::size_t>& taken) const;
  void take_apart(std::int64_t block, const std::byte* content, std::vector<std::size_t>& used);
  void gather_round(std::span<const OwnedBlock> blocks, const UseBlock& write);
  void scatter_round(std::span<const OwnedBlock> blocks, const UseBlock& read);

  Group& group_;
  const StoredFile& stored_;
  const Claims& claims_;
  const std::vector<CheckpointTensor>& tensors_;
  Buffers send_;  // kept from round to round
  Buffers receive_;
  bool gathering_ = false;  // only claims that write take part
};

}  // namespace finescale
