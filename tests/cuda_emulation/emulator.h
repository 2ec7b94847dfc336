// SPDX-License-Identifier: Apache-2.0
// What the emulator knows of the thread whose turn it is.
#pragma once

#include <cstddef>

namespace finescale::cuda::emulation {

enum class Space {
  kOutside,  // no kernel runs, or its arguments and built-in variables
  kLocal,    // a thread's own: registers and stack
  kShared,
  kGlobal
};

[[nodiscard]] Space space_of(const void* address);
[[nodiscard]] std::size_t running_thread();  // of its block

}  // namespace finescale::cuda::emulation
