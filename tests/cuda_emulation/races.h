// SPDX-License-Identifier: Apache-2.0
// Finds accesses to one byte, one of them a write, that nothing orders: two threads of a block with
// no
// __syncthreads between them (nor, in one warp, a __syncwarp; shuffles do not order memory), or two
// blocks of a launch. Atomic operations do not exist here.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace finescale::cuda::emulation {

struct Touch {
  std::uintptr_t address;
  std::uint32_t size_bytes;
  std::uint32_t thread;    // of its block
  std::uint32_t barriers;  // passed by the thread before
  std::uint32_t warp_syncs;
  bool is_write;
  bool is_shared;
};

class Races {
 public:
  void add(const Touch& touch) { block_.push_back(touch); }
  void block_ends();
  // The number of bytes with a race since the launch began.
  std::int64_t launch_ends();

 private:
  struct Owner {
    std::int64_t block;
    bool is_only_one;
  };
  std::vector<Touch> block_;
  std::int64_t block_number_ = 0;
  std::unordered_map<std::uintptr_t, Owner> global_;  // bytes that blocks touched
  std::unordered_set<std::uintptr_t> written_;        // of them
  std::int64_t count_ = 0;
};

}  // namespace finescale::cuda::emulation
