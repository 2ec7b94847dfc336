// SPDX-License-Identifier: Apache-2.0
// Correctly rounded quotients and roots of f32 whose range is known: what the compiler makes of `/`
// and sqrt less the test for operands outside it, which costs as much again, and a branch for each
// that keeps neighbouring elements from being computed side by side. Instruction by instruction its
// own sequences, so correctly rounded on a device whenever those are.
#pragma once

#include <cmath>

#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// Within one unit in the last place of 1 / x and two of 1 / sqrt(x); the emulator's are rounded.
__device__ __forceinline__ float near_reciprocal(float x) {
#ifdef FINESCALE_CUDA_EMULATION
  return 1.0F / x;
#else
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
__device__ __forceinline__ float near_reciprocal_root(float x) {
#ifdef FINESCALE_CUDA_EMULATION
  return 1.0F / sqrtf(x);
#else
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// A divisor by which several numbers are divided. The quotients are right, the sign of zero
// included, when neither the divisor, its reciprocal nor the quotient is below 2^-120 or above
// 2^120, and a numerator that is not zero is at least 2^-80: then no remainder is a denormal
// number. Below that they are off by some units in the last place.
class Divisor {
 public:
  __device__ __forceinline__ explicit Divisor(float value) : value_(value) {
    const float near = near_reciprocal(value);
    reciprocal_ = fmaf(near, fmaf(-value, near, 1.0F), near);
  }
  __device__ __forceinline__ float divides(float numerator) const {
    const float near = numerator * reciprocal_;
    // What is too much, not what is left: of -0 this stays -0.
    const float excess = fmaf(value_, near, -numerator);
    return fmaf(-reciprocal_, excess, near);
  }

 private:
  float value_, reciprocal_;
};

inline constexpr float kLeastQuickSquare = 0x1p-100F;

// sqrt(x) where x is zero or in [kLeastQuickSquare, 2^127].
__device__ __forceinline__ float quick_root(float x) {
  const float y = near_reciprocal_root(fmaxf(x, kLeastQuickSquare));
  const float near = x * y;
  return fmaf(fmaf(-near, near, x), 0.5F * y, near);
}

}  // namespace finescale::cuda
