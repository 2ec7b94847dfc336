// SPDX-License-Identifier: Apache-2.0
// What this machine can do now, measured in this process with the same threads and instruction set
// as the kernels (Williams, Waterman and Patterson 2009).
#pragma once

#include <cstddef>

namespace finescale::bench {

// Fused multiply-adds of independent f32 vectors in registers: FLOP per second, multiply-add = 2.
[[nodiscard]] double peak_flops();
// Bytes per second of a = b + s a whose two arrays take `working_set` bytes together: the bandwidth
// of the cache level (or memory) that a kernel of that size lives in. No line is fetched only to be
// overwritten, as in the classic triad of three arrays, which kernels that update in place beat.
// Measured once per quarter of an octave. Counts two reads and a write.
[[nodiscard]] double bandwidth(std::size_t working_set);

}  // namespace finescale::bench
