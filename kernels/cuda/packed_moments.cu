// SPDX-License-Identifier: Apache-2.0
// One block of threads per block of kMomentBlock elements, a thread per element. Codes are those of
// the CPU twin: integers, divisions and roots, all exact or correctly rounded.
#include "kernels/cuda/packed_moments.h"

#include "kernels/cuda/adamw_step.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"
#include "kernels/cuda/update_elements.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = static_cast<int>(kMomentBlock);
constexpr int kWarps = kThreads / static_cast<int>(kWarp);

// 32-bit finaliser of MurmurHash3: every bit of the result depends on every bit of x.
__device__ __forceinline__ std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13)) * 0xC2B2AE35U;
  return x ^ (x >> 16);
}

__device__ __forceinline__ std::uint16_t to_nearest(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

// What is cut off is the probability of the next larger value.
__device__ __forceinline__ std::uint16_t at_random(float value, std::uint32_t element,
                                                   std::uint32_t key) {
  const std::uint32_t random = mixed(element * 0x9E3779B9U ^ key);
  return static_cast<std::uint16_t>((__float_as_uint(value) + (random >> 16)) >> 16);
}

// w, g [count]; a thread has a pack of them.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2)  // left free it spills f64 on sm_80
    update_bf16(AdamwFactors<T> k, const StepFactors<T>* __restrict__ factors, T* __restrict__ w,
                const T* __restrict__ g, PackedMoments moments, std::int64_t count) {
  const std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  const std::int64_t left = count - i;
  if (left <= 0) {
    return;
  }
  const StepFactors<T> now = *factors;
  auto* const first = static_cast<Bf16*>(moments.m) + i;
  auto* const second = static_cast<Bf16*>(moments.v) + i;
  T weight[kWidth];
  T gradient[kWidth];
  float m[kWidth];
  float v[kWidth];
  load_some(w + i, left, weight);
  load_some(g + i, left, gradient);
  load_some(first, left, m);
  load_some(second, left, v);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    T changed = weight[e];
    T own_m = m[e];
    T own_v = v[e];
    adamw_element(k, now, gradient[e], changed, own_m, own_v);
    weight[e] = moves(now) ? changed : weight[e];
    // As f32 whose lower halves are zero, so that storing rounds no more.
    const unsigned new_m = to_nearest(static_cast<float>(own_m));
    const unsigned new_v =
        at_random(static_cast<float>(own_v),
                  static_cast<std::uint32_t>(moments.first_element + i + e), now.rounding_key);
    m[e] = moves(now) ? __uint_as_float(new_m << 16) : m[e];
    v[e] = moves(now) ? __uint_as_float(new_v << 16) : v[e];
  }
  store_some(weight, left, w + i);
  store_some<kWidth, Bf16>(m, left, first);
  store_some<kWidth, Bf16>(v, left, second);
}

// One byte: the upper bits of an f32 in [0, 1], counted down from 1, which is the largest code.
template <int kFractionBits, int kLargest>
struct ByteCode {
  static constexpr int kCut = 23 - kFractionBits;
  static constexpr std::uint32_t kOne = 0x3F800000U;                  // 1.0F
  static constexpr std::uint32_t kBelow = (kOne >> kCut) - kLargest;  // of code 0
  // Half of the least value: one less in the exponent.
  static constexpr std::uint32_t kHalfOfLeast = ((kBelow + 1) << kCut) - 0x00800000U;

  template <bool kKeepsSmall>
  static __device__ __forceinline__ std::uint32_t code(float part) {
    const std::uint32_t bits = __float_as_uint(part);
    const std::uint32_t rounded = (bits + ((1U << (kCut - 1)) - 1) + ((bits >> kCut) & 1U)) >> kCut;
    const std::uint32_t least = bits > (kKeepsSmall ? 0U : kHalfOfLeast) ? 1U : 0U;
    return rounded > kBelow ? rounded - kBelow : least;
  }
  static __device__ __forceinline__ float value(std::uint32_t code) {
    return __uint_as_float(code == 0 ? 0U : (code + kBelow) << kCut);
  }
};
using MCode = ByteCode<3, 127>;
using VCode = ByteCode<4, 255>;

// The largest of the block's magnitudes, as bits, which order them as well. All threads enter.
__device__ __forceinline__ std::uint32_t block_max(std::uint32_t value,
                                                   std::uint32_t (&parts)[kWarps]) {
#pragma unroll
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2) {
    const std::uint32_t other = __shfl_xor_sync(kAllLanes, value, static_cast<int>(distance));
    value = other > value ? other : value;
  }
  if (threadIdx.x % kWarp == 0) {
    parts[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  value = parts[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) {
    value = parts[i] > value ? parts[i] : value;
  }
  return value;
}

// The scale of a block whose largest magnitude is this; zero when its smallest codes could not be
// told from denormal numbers.
__device__ __forceinline__ float scale_of(std::uint32_t largest) {
  const float scale = __uint_as_float(largest);
  return scale < 7.888609052210118e-31F ? 0.0F : scale;  // 2^-100
}

// Block b holds the elements b kMomentBlock - phase and following.
template <class T>
__global__ void __launch_bounds__(kThreads)
    update_bytes(AdamwFactors<T> k, const StepFactors<T>* __restrict__ factors, T* __restrict__ w,
                 const T* __restrict__ g, PackedMoments moments, std::int64_t count) {
  GPU_SHARED(std::uint32_t, m_parts, [kWarps]);
  GPU_SHARED(std::uint32_t, v_parts, [kWarps]);
  const std::int64_t i =
      static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x - moments.phase;
  const bool is_there = i >= 0 && i < count;
  auto* const m_code = static_cast<std::uint8_t*>(moments.m) + i;
  auto* const v_code = static_cast<std::uint8_t*>(moments.v) + i;
  const StepFactors<T> now = *factors;
  const float old_m_scale = moments.m_scales[blockIdx.x];
  const float old_v_scale = moments.v_scales[blockIdx.x];
  std::uint32_t old_m = 0;
  std::uint32_t old_v = 0;
  float m = 0;
  float v = 0;
  if (is_there) {
    old_m = *m_code;
    old_v = *v_code;
    const float magnitude = old_m_scale * MCode::value(old_m & 0x7FU);
    const float root = old_v_scale * VCode::value(old_v);
    T first = __uint_as_float(__float_as_uint(magnitude) | (old_m & 0x80U) << 24);
    T second = static_cast<T>(root) * static_cast<T>(root);
    const T weight = w[i];
    T changed = weight;
    adamw_element(k, now, g[i], changed, first, second);
    w[i] = moves(now) ? changed : weight;
    m = static_cast<float>(first);
    v = sqrtf(static_cast<float>(second));
  }
  // All have read the scales when the first barrier is passed.
  const float m_scale = scale_of(block_max(__float_as_uint(m) & 0x7FFFFFFFU, m_parts));
  const float v_scale = scale_of(block_max(__float_as_uint(v) & 0x7FFFFFFFU, v_parts));
  if (threadIdx.x == 0) {
    moments.m_scales[blockIdx.x] = moves(now) ? m_scale : old_m_scale;
    moments.v_scales[blockIdx.x] = moves(now) ? v_scale : old_v_scale;
  }
  if (is_there) {
    // Without a scale everything is zero: what is left is far below the least code of 1.
    const std::uint32_t bits = __float_as_uint(m);
    const float part = __uint_as_float(bits & 0x7FFFFFFFU) / (m_scale == 0 ? 1.0F : m_scale);
    const std::uint32_t code = MCode::code<false>(part);
    const std::uint32_t new_m = code | (code == 0 ? 0U : bits >> 24 & 0x80U);
    const std::uint32_t new_v = v_scale == 0 ? 0U : VCode::code<true>(v / v_scale);
    *m_code = static_cast<std::uint8_t>(moves(now) ? new_m : old_m);
    *v_code = static_cast<std::uint8_t>(moves(now) ? new_v : old_v);
  }
}

template <class T>
void launch(const Stream& stream, const AdamwStep& step, const TensorView& weight,
            const TensorView& gradient, const PackedMoments& moments) {
  const std::int64_t count = weight.num_elements();
  const AdamwFactors<T> constants = adamw_factors<T>(step);
  const StepFactors<T>* const factors = factors_in_memory<T>(step.factors);
  if (moments.code == MomentCode::kInt8) {
    gpu_launch(stream, update_bytes<T>, dim3(static_cast<unsigned>(moments.num_blocks(count))),
               dim3(kThreads), 0, constants, factors, weight.as<T>(), gradient.as<T>(), moments,
               count);
  } else {
    constexpr int kPackOfMoments = 4;
    const Shape shape{count};
    const bool packed =
        lies_on(kPackOfMoments, weight, gradient, TensorView(moments.m, DType::kBf16, shape),
                TensorView(moments.v, DType::kBf16, shape));
    for_width<kPackOfMoments>(packed, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      gpu_launch(stream, update_bf16<T, kWidth>, dim3(blocks_for(count, kThreads * kWidth)),
                 dim3(kThreads), 0, constants, factors, weight.as<T>(), gradient.as<T>(), moments,
                 count);
    });
  }
}

}  // namespace

void adamw_update_packed(const Stream& stream, const AdamwStep& step, const TensorView& weight,
                         const TensorView& gradient, const PackedMoments& moments) {
  if (weight.num_elements() == 0) {
    return;
  }
  weight.dtype == DType::kF64 ? launch<double>(stream, step, weight, gradient, moments)
                              : launch<float>(stream, step, weight, gradient, moments);
}

}  // namespace finescale::cuda
