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
// Of the sum of rows: a thread for each word, whole warps, and groups of rows beside each other.
constexpr int kColumns = 96;
constexpr int kGroups = 8;
static_assert(kColumns >= kWords && kColumns % kWarp == 0);

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

// Block: a row of words, to which it adds.
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
    words[static_cast<std::int64_t>(blockIdx.x) * kWords + word] += sum;
  }
}

// total [kWords] = sum of the rows of words [rows, kWords].
__global__ void __launch_bounds__(kColumns* kGroups)
    add_rows_of_words(const long long* __restrict__ words, std::int64_t rows,
                      long long* __restrict__ total) {
  GPU_SHARED(long long, parts, [kGroups][kColumns]);
  const bool is_word = static_cast<int>(threadIdx.x) < kWords;
  long long sum = 0;
#pragma unroll 8
  for (std::int64_t row = threadIdx.y; is_word && row < rows; row += kGroups) {
    sum += words[row * kWords + threadIdx.x];
  }
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || !is_word) {
    return;
  }
  for (int group = 1; group < kGroups; ++group) {
    sum += parts[group][threadIdx.x];
  }
  total[threadIdx.x] = sum;
}

}  // namespace

void exact_words(const Stream& stream, const TensorView& values, const TensorView& words) {
  const std::int64_t blocks = (values.num_elements() + kValuesOfBlock - 1) / kValuesOfBlock;
  const std::int64_t rows = blocks < words.rows() ? blocks : words.rows();
  if (rows == 0) {
    return;
  }
  gpu_launch(stream, add_words, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
             values.as<double>(), values.num_elements(), words.as<long long>());
}

void sum_words(const Stream& stream, const TensorView& words, const TensorView& total) {
  gpu_launch(stream, add_rows_of_words, dim3(1), dim3(kColumns, kGroups), 0, words.as<long long>(),
             words.rows(), total.as<long long>());
}

}  // namespace finescale::cuda
