// SPDX-License-Identifier: Apache-2.0
// What the emulator says of itself, and what it knows of the thread whose turn it is.
#pragma once

#include <cstddef>
#include <cstdint>

namespace finescale::cuda::emulation {

// That a block may have: the least of the GPUs on which the kernels run (sm_86, 89, 120).
constexpr std::size_t kMostSharedBytes = 99 * 1024;

enum class Space {
  kOutside,  // no kernel runs, or its arguments and built-in variables
  kLocal,    // a thread's own: registers and stack
  kShared,
  kGlobal
};

// How far the running thread of a block is in what orders memory.
struct Progress {
  std::uint32_t thread;
  std::uint32_t barriers;
  std::uint32_t warp_syncs;
};

[[nodiscard]] Space space_of(const void* address);
[[nodiscard]] Progress running_thread();

}  // namespace finescale::cuda::emulation
