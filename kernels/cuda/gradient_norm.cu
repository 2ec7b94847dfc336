// SPDX-License-Identifier: Apache-2.0
// The last steps of a norm, and what follows from it: one thread of a warp, some hundred steps that
// wait for each other and take microseconds, instead of a host that waits for all in front of them.
#include <cfloat>
#include <cmath>
#include <cstring>

#include "core/exact_sum.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gpu.h"
#include "kernels/step_factors.h"

namespace finescale::cuda {

namespace {

using Word = long long;
using Bits = unsigned long long;

constexpr int kWords = ExactSum::kNumWords;
constexpr int kLimbs = kWords - 3;  // behind them counts: NaN, +infinity, -infinity
constexpr int kLimbBits = 32;
constexpr Word kLimbMask = 0xFFFFFFFF;
constexpr int kFractionBits = 52;
constexpr int kLargestExponent = 0x7FE;  // of a finite number

__device__ __forceinline__ double from_bits(Bits bits) {
  double value = 0;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Limbs in [0, 2^32) rounded to the nearest double, ties to even: ExactSum::round.
__device__ __forceinline__ double rounded(const Word* limbs) {
  int top = kLimbs - 1;
  while (top > 0 && limbs[top] == 0) {
    --top;
  }
  int width = 0;  // bits of the topmost limb
  while (limbs[top] >> width != 0) {
    ++width;
  }
  const int highest = top * kLimbBits + width - 1;
  if (highest <= kFractionBits) {  // denormal, or the smallest exponent: the bits are the number
    return from_bits(static_cast<Bits>(limbs[1]) << kLimbBits | static_cast<Bits>(limbs[0]));
  }
  const int lowest = highest - kFractionBits;  // the last bit that is kept
  if (lowest >= kLargestExponent) {
    return INFINITY;
  }
  const int limb = lowest / kLimbBits;
  const int shift = lowest % kLimbBits;
  Bits mantissa = static_cast<Bits>(limbs[limb]) >> shift | static_cast<Bits>(limbs[limb + 1])
                                                                << (kLimbBits - shift);
  if (shift > 0) {
    mantissa |= static_cast<Bits>(limbs[limb + 2]) << (2 * kLimbBits - shift);
  }
  const int half = lowest - 1;
  const Word below = limbs[half / kLimbBits];
  bool rest = (below & ((Word{1} << half % kLimbBits) - 1)) != 0;
  for (int i = 0; i < half / kLimbBits; ++i) {
    rest = rest || limbs[i] != 0;
  }
  const bool is_up = (below >> half % kLimbBits & 1) != 0 && (rest || (mantissa & 1) != 0);
  // The hidden bit and a carry out of the mantissa both count up the exponent.
  return from_bits((static_cast<Bits>(lowest) << kFractionBits) + mantissa + (is_up ? 1 : 0));
}

// words [kWords], of squares: their sum is not negative.
__global__ void __launch_bounds__(kWarp, 4)  // left free it spills on sm_80
    find_root(const Word* __restrict__ words, double* __restrict__ norm) {
  GPU_SHARED(Word, limbs, [kWords]);
  for (int i = static_cast<int>(threadIdx.x); i < kWords; i += static_cast<int>(kWarp)) {
    limbs[i] = words[i];
  }
  __syncwarp();
  if (threadIdx.x != 0) {
    return;
  }
  for (int i = 0; i + 1 < kLimbs; ++i) {
    limbs[i + 1] += limbs[i] >> kLimbBits;
    limbs[i] &= kLimbMask;
  }
  const bool has_nan = limbs[kLimbs] > 0;
  const bool has_infinity = limbs[kLimbs + 1] > 0;
  *norm = has_nan ? NAN : has_infinity ? INFINITY : sqrt(rounded(limbs));
}

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads)
    set_scales(const double* __restrict__ norm, double max_norm, StepFactors<T>* __restrict__ rows,
               std::int64_t count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) {
    return;
  }
  const double value = *norm;
  const bool is_clipped = max_norm > 0 && value > max_norm;
  const double scale = is_clipped ? max_norm / value : 1;
  rows[i].scale = value <= DBL_MAX ? static_cast<T>(scale) : static_cast<T>(NAN);
}

template <class T>
void launch(const Stream& stream, const TensorView& norm, double max_norm, void* rows,
            std::int64_t count) {
  gpu_launch(stream, set_scales<T>, dim3(blocks_for(count, kThreads)), dim3(kThreads), 0,
             norm.as<double>(), max_norm, static_cast<StepFactors<T>*>(rows), count);
}

}  // namespace

void root_of_words(const Stream& stream, const TensorView& words, const TensorView& norm) {
  gpu_launch(stream, find_root, dim3(1), dim3(kWarp), 0, words.as<Word>(), norm.as<double>());
}

void clip_factors(const Stream& stream, const TensorView& norm, double max_norm, DType dtype,
                  void* rows, std::int64_t count) {
  if (count == 0) {
    return;
  }
  dtype == DType::kF64 ? launch<double>(stream, norm, max_norm, rows, count)
                       : launch<float>(stream, norm, max_norm, rows, count);
}

}  // namespace finescale::cuda
