// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/block_exchange.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "checkpoint/slabs.h"
#include "checkpoint/tensor_reader.h"
#include "comm/together.h"

namespace finescale {

namespace {

constexpr std::size_t kRoundBlocks = 64;  // bounds the memory of a round, whatever the ranks hold

// Calls body(first, at, count) for the runs of the claim in elements [begin, end) of the whole:
// they begin at `first` of the whole and at `at` of the claim's memory.
template <class Body>
void pieces_of_claim(const Claim& claim, std::int64_t begin, std::int64_t end, Body body) {
  std::int64_t base = 0;
  for (const LocalPart& slab : hyperslabs_of(claim.part, claim.begin, claim.end)) {
    const Runs runs(claim.shape, slab);
    for (std::int64_t i = runs.behind(begin); i < runs.count() && runs.first(i) < end; ++i) {
      const std::int64_t first = std::max(begin, runs.first(i));
      const std::int64_t last = std::min(end, runs.first(i) + runs.length());
      body(first, base + i * runs.length() + first - runs.first(i), last - first);
    }
    base += slab.shape.num_elements();
  }
}

template <class Body>
void in_rounds(std::span<const OwnedBlock> blocks, Body body) {
  for (std::size_t begin = 0; begin < blocks.size(); begin += kRoundBlocks) {
    body(blocks.subspan(begin, std::min(kRoundBlocks, blocks.size() - begin)));
  }
}

}  // namespace

// In one order for sender and receiver. A part that is the whole block does not travel: its rank
// moves it itself.
void BlockExchange::for_each_piece(std::int64_t block, int rank,
                                   const std::function<void(const Piece&)>& body) const {
  const BlockRange range = range_of(stored_, block);
  const auto element = static_cast<std::int64_t>(dtype_size(range.tensor->dtype));
  const std::int64_t begin = (range.offset - range.tensor->offset) / element;
  const std::int64_t end = begin + range.size / element;
  const std::vector<Claim>& claims = claims_.at(range.tensor->path);
  auto claim = std::lower_bound(claims.begin(), claims.end(), rank,
                                [](const Claim& one, int number) { return one.rank < number; });
  for (; claim != claims.end() && claim->rank == rank; ++claim) {
    if (gathering_ && !claim->writes) {
      continue;
    }
    pieces_of_claim(*claim, begin, end,
                    [&](std::int64_t first, std::int64_t at, std::int64_t count) {
                      if (count < end - begin) {
                        body({&*claim, (first - begin) * element, at, count});
                      }
                    });
  }
}

std::vector<OwnedBlock> BlockExchange::own(std::span<const OwnedBlock> blocks) const {
  std::vector<OwnedBlock> mine;
  std::copy_if(blocks.begin(), blocks.end(), std::back_inserter(mine),
               [&](const OwnedBlock& block) { return block.owner == group_.rank(); });
  return mine;
}

std::size_t BlockExchange::bytes_of(std::int64_t block, int rank) const {
  std::int64_t count = 0;
  for_each_piece(block, rank, [&](const Piece& piece) { count += piece.count; });
  return static_cast<std::size_t>(count) * dtype_size(range_of(stored_, block).tensor->dtype);
}

void BlockExchange::size_for_owner(std::span<const OwnedBlock> blocks, Buffers& buffers) const {
  const std::vector<OwnedBlock> mine = own(blocks);
  for (int rank = 0; rank < group_.size(); ++rank) {
    std::size_t size = 0;
    for (const OwnedBlock& block : mine) {
      size += bytes_of(block.block, rank);
    }
    buffers[static_cast<std::size_t>(rank)].resize(size);
  }
}

void BlockExchange::size_for_holder(std::span<const OwnedBlock> blocks, Buffers& buffers) const {
  std::vector<std::size_t> sizes(static_cast<std::size_t>(group_.size()));
  for (const OwnedBlock& block : blocks) {
    sizes[static_cast<std::size_t>(block.owner)] += bytes_of(block.block, group_.rank());
  }
  for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
    buffers[rank].resize(sizes[rank]);
  }
}

void BlockExchange::transfer() {
  const std::vector<std::span<const std::byte>> out(send_.begin(), send_.end());
  const std::vector<std::span<std::byte>> in(receive_.begin(), receive_.end());
  group_.all_to_all(out, in);
}

void BlockExchange::put_together(std::int64_t block, std::byte* content,
                                 std::vector<std::size_t>& taken) const {
  const std::size_t element = dtype_size(range_of(stored_, block).tensor->dtype);
  for (std::size_t from = 0; from < receive_.size(); ++from) {
    for_each_piece(block, static_cast<int>(from), [&](const Piece& piece) {
      const std::size_t size = static_cast<std::size_t>(piece.count) * element;
      std::memcpy(content + piece.in_block, receive_[from].data() + taken[from], size);
      taken[from] += size;
    });
  }
}

void BlockExchange::take_apart(std::int64_t block, const std::byte* content,
                               std::vector<std::size_t>& used) {
  const std::size_t element = dtype_size(range_of(stored_, block).tensor->dtype);
  for (std::size_t to = 0; to < send_.size(); ++to) {
    for_each_piece(block, static_cast<int>(to), [&](const Piece& piece) {
      const std::size_t size = static_cast<std::size_t>(piece.count) * element;
      std::memcpy(send_[to].data() + used[to], content + piece.in_block, size);
      used[to] += size;
    });
  }
}

void BlockExchange::gather_round(std::span<const OwnedBlock> blocks, const UseBlock& write) {
  size_for_holder(blocks, send_);
  std::vector<std::size_t> used(send_.size());
  for (const OwnedBlock& block : blocks) {
    const auto to = static_cast<std::size_t>(block.owner);
    for_each_piece(block.block, group_.rank(), [&](const Piece& piece) {
      const TensorView& local = tensors_[piece.claim->number].local;
      const std::size_t element = dtype_size(local.dtype);
      const std::size_t size = static_cast<std::size_t>(piece.count) * element;
      std::memcpy(send_[to].data() + used[to],
                  local.as<std::byte>() + static_cast<std::size_t>(piece.first) * element, size);
      used[to] += size;
    });
  }
  size_for_owner(blocks, receive_);
  transfer();
  run_together(group_, [&] {
    std::vector<std::size_t> taken(receive_.size());
    std::vector<std::byte> content(static_cast<std::size_t>(kHashBlockBytes));
    for (const OwnedBlock& block : own(blocks)) {
      const BlockRange range = range_of(stored_, block.block);
      put_together(block.block, content.data(), taken);
      write(range, block.block, std::span(content).first(static_cast<std::size_t>(range.size)));
    }
  });
}

void BlockExchange::scatter_round(std::span<const OwnedBlock> blocks, const UseBlock& read) {
  size_for_owner(blocks, send_);
  run_together(group_, [&] {
    std::vector<std::size_t> used(send_.size());
    std::vector<std::byte> content(static_cast<std::size_t>(kHashBlockBytes));
    for (const OwnedBlock& block : own(blocks)) {
      const BlockRange range = range_of(stored_, block.block);
      read(range, block.block, std::span(content).first(static_cast<std::size_t>(range.size)));
      take_apart(block.block, content.data(), used);
    }
  });
  size_for_holder(blocks, receive_);
  transfer();
  std::vector<std::size_t> taken(receive_.size());
  for (const OwnedBlock& block : blocks) {
    const DType dtype = range_of(stored_, block.block).tensor->dtype;
    const auto from = static_cast<std::size_t>(block.owner);
    for_each_piece(block.block, group_.rank(), [&](const Piece& piece) {
      copy_elements(receive_[from].data() + taken[from], dtype, tensors_[piece.claim->number].local,
                    piece.first, piece.count);
      taken[from] += static_cast<std::size_t>(piece.count) * dtype_size(dtype);
    });
  }
}

void BlockExchange::gather(std::span<const OwnedBlock> blocks, const UseBlock& write) {
  gathering_ = true;
  in_rounds(blocks, [&](std::span<const OwnedBlock> round) { gather_round(round, write); });
}

void BlockExchange::scatter(std::span<const OwnedBlock> blocks, const UseBlock& read) {
  gathering_ = false;
  in_rounds(blocks, [&](std::span<const OwnedBlock> round) { scatter_round(round, read); });
}

}  // namespace finescale
