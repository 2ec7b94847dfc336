// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/exact_words.h"

#include <cstdint>
#include <cstring>

#include "core/exact_sum.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 64;
constexpr int kWords = ExactSum::kNumWords;
constexpr int kNan = kWords - 3;  // counts of what is not finite; in front of them the limbs
constexpr int kFractionBits = 52;
constexpr int kExponentMask = 0x7FF;
constexpr std::int64_t kValuesOfBlock = kThreads * 64;
constexpr std::int64_t kMostBlocks = 1024;

// Adds value to limbs i of 2^(32 i - 1074) at own[i * kThreads]; each takes less than 2^32.
__device__ __forceinline__ void add(double value, long long* own) {
  unsigned long long bits = 0;
  memcpy(&bits, &value, sizeof bits);
  const bool negative = bits >> 63 != 0;
  const int exponent = static_cast<int>(bits >> kFractionBits) & kExponentMask;
  unsigned long long mantissa = bits & ((1ULL << kFractionBits) - 1);
  if (exponent == kExponentMask) {
    own[(kNan + (mantissa != 0 ? 0 : negative ? 2 : 1)) * kThreads] += 1;
    return;
  }
  int shift = 0;  // denormal numbers count units of 2^-1074
  if (exponent != 0) {
    mantissa |= 1ULL << kFractionBits;
    shift = exponent - 1;
  }
  constexpr unsigned long long kLimb = 0xFFFFFFFFULL;
  const unsigned long long low = (mantissa & kLimb) << (shift % 32);
  const unsigned long long high = ((mantissa >> 32) << (shift % 32)) + (low >> 32);
  const long long sign = negative ? -1 : 1;
  long long* limbs = own + shift / 32 * kThreads;
  limbs[0] += sign * static_cast<long long>(low & kLimb);
  limbs[kThreads] += sign * static_cast<long long>(high & kLimb);
  limbs[2 * kThreads] += sign * static_cast<long long>(high >> 32);
}

// Block: a row of words.
__global__ void __launch_bounds__(kThreads)
    add_words(const double* __restrict__ values, std::int64_t count,
              long long* __restrict__ words) {
  GPU_SHARED(long long, limbs, [kWords * kThreads]);
  for (int word = 0; word < kWords; ++word) {
    limbs[word * kThreads + static_cast<int>(threadIdx.x)] = 0;
  }
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    add(values[i], limbs + threadIdx.x);
  }
  __syncthreads();
  for (int word = static_cast<int>(threadIdx.x); word < kWords; word += kThreads) {
    long long sum = 0;
    for (int thread = 0; thread < kThreads; ++thread) {  // each begins in a bank of its own
      sum += limbs[word * kThreads + (thread + word) % kThreads];
    }
    words[static_cast<std::int64_t>(blockIdx.x) * kWords + word] = sum;
  }
}

}  // namespace

std::int64_t exact_word_rows(std::int64_t count) noexcept {
  const std::int64_t blocks = (count + kValuesOfBlock - 1) / kValuesOfBlock;
  return blocks < kMostBlocks ? blocks : kMostBlocks;
}

void exact_words(const Stream& stream, const TensorView& values, const TensorView& words) {
  const std::int64_t rows = exact_word_rows(values.num_elements());
  if (rows == 0) {
    return;
  }
  gpu_launch(stream, add_words, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
             values.as<double>(), values.num_elements(), words.as<long long>());
}

}  // namespace finescale::cuda
