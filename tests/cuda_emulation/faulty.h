// SPDX-License-Identifier: Apache-2.0
// Kernels with one fault each, to show that the emulator finds it. Arrays of 64 floats.
#pragma once

namespace finescale::cuda {

enum class Fault {
  kNone,
  kMissingBarrier,
  kEarlyReturn,
  kDivergentBarriers,
  kHalfShuffles,
  kHalfMask,
  kOverrun,
  kMissingWarpSync,
  kTwoOwners,
  kNextBlock,
  kCopiesUnderWay
};

void run_reverse(const float* in, float* out, Fault fault);
void run_sum(const float* in, float* out, Fault fault);  // out[t]: sum over t's warp
// Swaps neighbours through shared memory; a shuffle in between orders nothing.
void run_swap(const float* in, float* out, Fault fault);
// Copies with asynchronous copies, one group for each half.
void run_copies(const float* in, float* out, Fault fault);

}  // namespace finescale::cuda
