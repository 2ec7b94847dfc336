// SPDX-License-Identifier: Apache-2.0
// What the emulator knows of the thread whose turn it is.
#pragma once

#include <cstdint>

namespace finescale::cuda::emulation {

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
