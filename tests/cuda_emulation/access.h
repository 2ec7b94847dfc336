// SPDX-License-Identifier: Apache-2.0
// What kernels ask of memory. Their sources are compiled with the compiler's calls for a thread
// sanitizer, which is not linked: the calls come here. Accesses of a warp's lanes at one place of
// the code, at the same turn of each lane, are one instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace finescale::cuda::emulation {

struct AccessCounts {
  const void* kernel = nullptr;           // see kernel_names.h
  std::int64_t threads = 0;               // of a block
  std::int64_t dynamic_shared_bytes = 0;  // of a block
  std::int64_t sectors = 0;               // of 32 bytes, that instructions touch in global memory
  std::int64_t least_sectors = 0;         // that the same bytes fill when they lie side by side
  std::int64_t bank_conflicts = 0;  // turns of shared memory beyond the first of an instruction
  std::int64_t races = 0;           // bytes with accesses that nothing orders
};

// From now on; instrumented kernels only.
void start_counting();
// One for each launch since.
[[nodiscard]] std::vector<AccessCounts> stop_counting();

// Called by the emulator.
void access_launch_begins(const void* kernel, std::size_t threads,
                          std::size_t dynamic_shared_bytes);
void access_block_ends();
void access_launch_ends();

}  // namespace finescale::cuda::emulation
