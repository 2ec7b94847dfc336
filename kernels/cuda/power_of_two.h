// SPDX-License-Identifier: Apache-2.0
// Exponentials in one instruction.
#pragma once

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// 2^x to two units in the last place of f32; denormal results are zero.
__device__ __forceinline__ float power_of_two(float x) {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return exp2f(x);
#endif
}

}  // namespace finescale::cuda
