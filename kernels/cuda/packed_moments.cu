// SPDX-License-Identifier: Apache-2.0
// Of one byte a warp has a block of kMomentBlock elements. Codes are those of the CPU twin:
// integers, divisions and roots, all exact or correctly rounded.
#include "kernels/cuda/packed_moments.h"

#include "kernels/cuda/adamw_step.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/quick_division.h"
#include "kernels/cuda/storage.h"
#include "kernels/cuda/update_elements.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kByteThreads = 128;  // a block for each warp

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
// Here it lies in the uppermost byte of a word; above 7 bits of code there is one for a sign.
template <int kFractionBits, int kLargest>
struct ByteCode {
  static constexpr int kCut = 23 - kFractionBits;
  static constexpr int kUp = 24 - kCut;
  static constexpr std::uint32_t kOne = 0x3F800000U;                            // 1.0F
  static constexpr std::uint32_t kBelow = ((kOne >> kCut) - kLargest) << kCut;  // of code 0
  static constexpr std::uint32_t kLeast = 1U << kCut;                           // code 1

  // fewest: kLeast, or 0 where so small a part has no code. Below the uppermost byte is garbage.
  static __device__ __forceinline__ std::uint32_t code(float part, std::uint32_t fewest) {
    const std::uint32_t bits = __float_as_uint(part);
    // Negative where the part is far below the least code.
    const auto rounded =
        static_cast<std::int32_t>(bits + (kLeast / 2 - 1 - kBelow) + ((bits >> kCut) & 1U));
    const auto least = static_cast<std::int32_t>(fewest);
    return static_cast<std::uint32_t>(rounded > least ? rounded : least) << kUp;
  }
  static __device__ __forceinline__ float value(std::uint32_t upper) {
    const std::uint32_t code = (upper >> kUp) & (std::uint32_t{kLargest} << kCut);
    return __uint_as_float(code == 0 ? 0U : code + kBelow);
  }
};
using MCode = ByteCode<3, 127>;
using VCode = ByteCode<4, 255>;
// One less in the exponent: half of the value of code 1.
constexpr std::uint32_t kHalfOfLeast = MCode::kBelow + MCode::kLeast - 0x00800000U;
constexpr std::uint32_t kSign = 0x80000000U;

// Of f32 that are not negative bits order as values do.
__device__ __forceinline__ std::uint32_t magnitude_of(float value) {
  return __float_as_uint(value) & ~kSign;
}
__device__ __forceinline__ std::uint32_t larger(std::uint32_t a, std::uint32_t b) {
  return a > b ? a : b;
}
__device__ __forceinline__ std::uint32_t smaller(std::uint32_t a, std::uint32_t b) {
  return a < b ? a : b;
}

// The scale of a block: its largest magnitude, or zero when its smallest codes could not be told
// from denormal numbers; then parts are of 1, and all far below the least code.
class Scale {
 public:
  __device__ __forceinline__ explicit Scale(float largest)
      : scale_(largest < 7.888609052210118e-31F ? 0.0F : largest),  // 2^-100
        up_(power_for(divisor())),
        raised_(divisor() * up_) {}
  [[nodiscard]] __device__ __forceinline__ float value() const { return scale_; }
  // Both by the power of two with which the divisor is in [2, 4), so that parts are correctly
  // rounded down to far below the least code, and what is not zero stays so.
  [[nodiscard]] __device__ __forceinline__ float part(float magnitude) const {
    return raised_.divides(magnitude * up_);
  }

 private:
  [[nodiscard]] __device__ __forceinline__ float divisor() const {
    return scale_ == 0 ? 1.0F : scale_;
  }
  static __device__ __forceinline__ float power_for(float divisor) {
    return __uint_as_float(0x7F800000U - (__float_as_uint(divisor) & 0x7F800000U));
  }
  float scale_;
  float up_;
  Divisor raised_;
};

// Both moments from their codes, and codes for them, in the uppermost byte of a word.
__device__ __forceinline__ float m_of(float scale, std::uint32_t code) {
  const float magnitude = scale * MCode::value(code);
  return __uint_as_float(__float_as_uint(magnitude) | (code & kSign));
}
__device__ __forceinline__ float root_of(float scale, std::uint32_t code) {
  return scale * VCode::value(code);
}
__device__ __forceinline__ std::uint32_t m_code(const Scale& scale, float m) {
  const float part = scale.part(__uint_as_float(magnitude_of(m)));
  const std::uint32_t code = MCode::code(part, MCode::kLeast) | (__float_as_uint(m) & kSign);
  return __float_as_uint(part) > kHalfOfLeast ? code : 0U;
}
// What is not zero keeps a code, unless there is no scale.
__device__ __forceinline__ std::uint32_t v_code(const Scale& scale, float root) {
  const float part = scale.part(root);
  return VCode::code(part, part > 0 && scale.value() != 0 ? VCode::kLeast : 0U);
}

constexpr int kOwn = static_cast<int>(kMomentBlock / kWarp);  // elements of a lane

// A lane's weights, or their gradients, in packs.
template <class T, int kWidth>
using Own = T[kOwn / kWidth][kWidth];

// From the new moments: w, and the roots of v.
template <int kWidth, class T>
__device__ __forceinline__ void step_weights(const AdamwFactors<T>& k, const StepFactors<T>& now,
                                             const T (&m)[kOwn], const T (&v)[kOwn],
                                             Own<T, kWidth>& w, float (&root)[kOwn]) {
#pragma unroll
  for (int e = 0; e < kOwn; ++e) {
    T& own = w[e / kWidth][e % kWidth];
    own = adamw_weight(now, own, m[e] / adamw_divisor(k, now, sqrt(v[e])));
    root[e] = sqrtf(static_cast<float>(v[e]));
  }
}

// Whether everything lies in the range of quick_division.h: of |m| in [2^-70, 2^60] and v in
// [2^-100, 2^40], or zero, divisors are in [2^-60, 2^41] and quotients in [2^-111, 2^120].
__device__ __forceinline__ bool is_quick(const AdamwFactors<float>& k,
                                         const StepFactors<float>& now, const float (&m)[kOwn],
                                         const float (&v)[kOwn]) {
  std::uint32_t most_m = 0;
  std::uint32_t most_v = 0;
  std::uint32_t least_m = ~0U;  // of what is not zero, less one: of zero that is the largest
  std::uint32_t least_v = ~0U;
#pragma unroll
  for (int e = 0; e < kOwn; ++e) {
    most_m = larger(most_m, magnitude_of(m[e]));
    most_v = larger(most_v, __float_as_uint(v[e]));
    least_m = smaller(least_m, magnitude_of(m[e]) - 1);
    least_v = smaller(least_v, __float_as_uint(v[e]) - 1);
  }
  return most_m <= __float_as_uint(0x1p60F) && most_v <= __float_as_uint(0x1p40F) &&
         least_m >= __float_as_uint(0x1p-70F) - 1 &&
         least_v >= __float_as_uint(kLeastQuickSquare) - 1 && k.eps >= 0x1p-60F && k.eps <= 1 &&
         now.root <= 0x1p20F;
}
// The same bits as step_weights.
template <int kWidth>
__device__ __forceinline__ void quick_step_weights(const AdamwFactors<float>& k,
                                                   const StepFactors<float>& now,
                                                   const float (&m)[kOwn], const float (&v)[kOwn],
                                                   Own<float, kWidth>& w, float (&root)[kOwn]) {
#pragma unroll
  for (int e = 0; e < kOwn; ++e) {
    float& own = w[e / kWidth][e % kWidth];
    root[e] = quick_root(v[e]);
    own = adamw_weight(now, own, Divisor(adamw_divisor(k, now, root[e])).divides(m[e]));
  }
}

// Of the magnitudes of a block. All lanes enter.
template <class T>
__device__ __forceinline__ float largest_in_block(const T (&own)[kOwn]) {
  float largest = 0;
#pragma unroll
  for (int e = 0; e < kOwn; ++e) {
    largest = fmaxf(largest, fabsf(static_cast<float>(own[e])));
  }
  return __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(largest)));
}

// Block `block` of the range; a lane has packs of kWidth elements. Element by element unless all
// are there.
template <int kWidth, bool kAreThere, class T>
__device__ __forceinline__ void update_block(const AdamwFactors<T>& k,
                                             const StepFactors<T>* __restrict__ factors,
                                             T* __restrict__ w, const T* __restrict__ g,
                                             const PackedMoments& moments, std::int64_t block,
                                             std::int64_t count) {
  static_assert(kAreThere || kWidth == 1);
  constexpr int kPacks = kOwn / kWidth;
  constexpr int kApart = kWidth * static_cast<int>(kWarp);
  using Codes = std::conditional_t<kWidth == 4, std::uint32_t, std::uint8_t>;
  static_assert(sizeof(Codes) == kWidth);
  const std::int64_t i =  // of the lane's first pack
      block * kMomentBlock - moments.phase + threadIdx.x % kWarp * kWidth;
  const auto is_there = [&](int p) {
    return kAreThere || (i + p * kApart >= 0 && i + p * kApart < count);
  };
  const auto codes_at = [&](void* codes, int p) {
    return reinterpret_cast<Codes*>(static_cast<std::uint8_t*>(codes) + i + p * kApart);
  };
  const StepFactors<T> now = *factors;
  const float old_m_scale = moments.m_scales[block];
  const float old_v_scale = moments.v_scales[block];
  std::uint32_t old_m[kPacks] = {};
  std::uint32_t old_v[kPacks] = {};
  Own<T, kWidth> weight = {};
  Own<T, kWidth> gradient = {};
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (is_there(p)) {
      load_pack(w + i + p * kApart, weight[p]);
      load_pack(g + i + p * kApart, gradient[p]);
      old_m[p] = *codes_at(moments.m, p);
      old_v[p] = *codes_at(moments.v, p);
    }
  }
  T m[kOwn];
  T v[kOwn];
#pragma unroll
  for (int e = 0; e < kOwn; ++e) {
    const int up = 24 - e % kWidth * 8;
    const T old_root = root_of(old_v_scale, old_v[e / kWidth] << up);
    m[e] = m_of(old_m_scale, old_m[e / kWidth] << up);
    v[e] = old_root * old_root;
    adamw_moments(k, now, gradient[e / kWidth][e % kWidth], m[e], v[e]);
  }
  float root[kOwn];
  if constexpr (std::is_same_v<T, float>) {
    is_quick(k, now, m, v) ? quick_step_weights<kWidth>(k, now, m, v, weight, root)
                           : step_weights<kWidth>(k, now, m, v, weight, root);
  } else {
    step_weights<kWidth>(k, now, m, v, weight, root);
  }
  const Scale m_scale(largest_in_block(m));
  const Scale v_scale(largest_in_block(root));
  if (!moves(now)) {
    return;
  }
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    std::uint32_t new_m = 0;
    std::uint32_t new_v = 0;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      new_m |= m_code(m_scale, static_cast<float>(m[p * kWidth + e])) >> 24 << 8 * e;
      new_v |= v_code(v_scale, root[p * kWidth + e]) >> 24 << 8 * e;
    }
    if (is_there(p)) {
      store_pack(weight[p], w + i + p * kApart);
      *codes_at(moments.m, p) = static_cast<Codes>(new_m);
      *codes_at(moments.v, p) = static_cast<Codes>(new_v);
    }
  }
  __syncwarp();  // all have read the scales
  if (threadIdx.x % kWarp == 0) {
    moments.m_scales[block] = m_scale.value();
    moments.v_scales[block] = v_scale.value();
  }
}

// Block b of the range holds its elements b kMomentBlock - phase and following.
template <int kWidth, class T>
__global__ void __launch_bounds__(kByteThreads)
    update_bytes(AdamwFactors<T> k, const StepFactors<T>* __restrict__ factors, T* __restrict__ w,
                 const T* __restrict__ g, PackedMoments moments, std::int64_t count) {
  constexpr int kBlocks = kByteThreads / static_cast<int>(kWarp);
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * kBlocks + threadIdx.x / kWarp;
  const std::int64_t first = block * kMomentBlock - moments.phase;
  if (first >= count) {
    return;
  }
  if (first >= 0 && first + kMomentBlock <= count) {
    update_block<kWidth, true>(k, factors, w, g, moments, block, count);
  } else {
    update_block<1, false>(k, factors, w, g, moments, block, count);
  }
}

template <class T>
void launch(const Stream& stream, const AdamwStep& step, const TensorView& weight,
            const TensorView& gradient, const PackedMoments& moments) {
  const std::int64_t count = weight.num_elements();
  const AdamwFactors<T> constants = adamw_factors<T>(step);
  const StepFactors<T>* const factors = factors_in_memory<T>(step.factors);
  constexpr int kPackOfMoments = 4;
  const Shape shape{count};
  if (moments.code == MomentCode::kInt8) {
    const auto on_packs = [&moments](const void* data, std::size_t size) {
      const auto block = reinterpret_cast<std::uintptr_t>(data) -
                         static_cast<std::uintptr_t>(moments.phase) * size;
      return block % (size == 1 ? kPackOfMoments : 16) == 0;
    };
    const bool packed = on_packs(weight.data, sizeof(T)) && on_packs(gradient.data, sizeof(T)) &&
                        on_packs(moments.m, 1) && on_packs(moments.v, 1);
    for_width<kPackOfMoments>(packed, [&](auto width) {
      gpu_launch(stream, update_bytes<decltype(width)::value, T>,
                 dim3(blocks_for(moments.num_blocks(count), kByteThreads / kWarp)),
                 dim3(kByteThreads), 0, constants, factors, weight.as<T>(), gradient.as<T>(),
                 moments, count);
    });
  } else {
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
