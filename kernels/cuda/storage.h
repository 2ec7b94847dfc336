// SPDX-License-Identifier: Apache-2.0
// What tensors are stored as and what kernels compute in: f32 in f32, bf16 in f32, f64 in f64.
// Elements travel between memory and registers in packs of one load or store of up to 16 bytes;
// kernels take the width of a pack as a template argument, 1 where rows or pointers do not lie on
// the size of a pack.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "core/tensor.h"
#include "kernels/cuda/gpu.h"

namespace finescale::cuda {

// The upper half of an f32.
struct Bf16 {
  std::uint16_t bits;
};

template <class S>
using Compute = std::conditional_t<std::is_same_v<S, Bf16>, float, S>;

template <class S>
inline constexpr DType kDTypeOf = std::is_same_v<S, double> ? DType::kF64
                                  : std::is_same_v<S, Bf16> ? DType::kBf16
                                                            : DType::kF32;

__device__ __forceinline__ float to_compute(float value) {
  return value;
}
__device__ __forceinline__ double to_compute(double value) {
  return value;
}
__device__ __forceinline__ float to_compute(Bf16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

// To nearest, ties to even; NaN stays NaN.
template <class S>
__device__ __forceinline__ S to_storage(Compute<S> value) {
  if constexpr (!std::is_same_v<S, Bf16>) {
    return value;
  } else {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    Bf16 rounded;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
    return rounded;
#else
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
      return {0x7FFF};
    }
    return {static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16)};
#endif
  }
}

template <int kBytes>
using Word = std::conditional_t<
    kBytes == 16, uint4,
    std::conditional_t<kBytes == 8, uint2,
                       std::conditional_t<kBytes == 4, unsigned, unsigned short>>>;

// Whether what is moved is wanted again soon; what is not leaves the caches first.
enum class Reuse { kSoon, kNever };

template <Reuse kReuse, class W>
__device__ __forceinline__ W load_word(const W* from) {
#ifndef FINESCALE_CUDA_EMULATION
  if constexpr (kReuse == Reuse::kNever) {
    return __ldcs(from);
  }
#endif
  return *from;
}

template <Reuse kReuse, class W>
__device__ __forceinline__ void store_word(const W& word, W* to) {
#ifndef FINESCALE_CUDA_EMULATION
  if constexpr (kReuse == Reuse::kNever) {
    __stcs(to, word);
    return;
  }
#endif
  *to = word;
}

// to[i] = from[i] for kCount neighbouring elements; `from` lies on the size of the pack.
template <int kCount, class S, Reuse kReuse = Reuse::kSoon>
__device__ __forceinline__ void load_pack(const S* from, Compute<S> (&to)[kCount]) {
  constexpr int kMoved = kCount * sizeof(S) < 16 ? kCount : 16 / static_cast<int>(sizeof(S));
  using Moved = Word<kMoved* static_cast<int>(sizeof(S))>;
  static_assert(kCount % kMoved == 0 && sizeof(Moved) == kMoved * sizeof(S));
#pragma unroll
  for (int i = 0; i < kCount; i += kMoved) {
    if constexpr (kMoved == 1) {
      to[i] = to_compute(from[i]);
    } else {
      const Moved word = load_word<kReuse>(reinterpret_cast<const Moved*>(from + i));
      S elements[kMoved];
      memcpy(elements, &word, sizeof(word));
#pragma unroll
      for (int e = 0; e < kMoved; ++e) {
        to[i + e] = to_compute(elements[e]);
      }
    }
  }
}

// to[i] = from[i], rounded to what `to` stores.
template <int kCount, class S, Reuse kReuse = Reuse::kSoon>
__device__ __forceinline__ void store_pack(const Compute<S> (&from)[kCount], S* to) {
  constexpr int kMoved = kCount * sizeof(S) < 16 ? kCount : 16 / static_cast<int>(sizeof(S));
  using Moved = Word<kMoved* static_cast<int>(sizeof(S))>;
  static_assert(kCount % kMoved == 0 && sizeof(Moved) == kMoved * sizeof(S));
#pragma unroll
  for (int i = 0; i < kCount; i += kMoved) {
    if constexpr (kMoved == 1) {
      to[i] = to_storage<S>(from[i]);
    } else {
      S elements[kMoved];
#pragma unroll
      for (int e = 0; e < kMoved; ++e) {
        elements[e] = to_storage<S>(from[i + e]);
      }
      Moved word;
      memcpy(&word, elements, sizeof(word));
      store_word<kReuse>(word, reinterpret_cast<Moved*>(to + i));
    }
  }
}

// The same where only `left` elements are there; zeros behind them.
template <int kCount, class S>
__device__ __forceinline__ void load_some(const S* from, std::int64_t left,
                                          Compute<S> (&to)[kCount]) {
  if (left >= kCount) {
    load_pack(from, to);
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    to[i] = i < left ? to_compute(from[i]) : Compute<S>(0);
  }
}

template <int kCount, class S>
__device__ __forceinline__ void store_some(const Compute<S> (&from)[kCount], std::int64_t left,
                                           S* to) {
  if (left >= kCount) {
    store_pack(from, to);
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i < left) {
      to[i] = to_storage<S>(from[i]);
    }
  }
}

// Elements of the widest pack.
template <class S>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(S));

// Whether rows of every view can be read in packs of `count` elements of the view.
template <class... Views>
[[nodiscard]] bool lies_on(int count, const Views&... views) {
  const auto lies = [count](const TensorView& view) {
    const std::size_t bytes = static_cast<std::size_t>(count) * dtype_size(view.dtype);
    const bool rows = view.rows() <= 1 || view.row_stride % count == 0;
    return rows && reinterpret_cast<std::uintptr_t>(view.data) % (bytes < 16 ? bytes : 16) == 0;
  };
  return (lies(views) && ...);
}

template <class T>
struct TypeTag {
  using type = T;
};

// run(TypeTag<S>()) for the storage type of `dtype`.
template <class Run>
void for_storage(DType dtype, const char* operation, const Run& run) {
  switch (dtype) {
    case DType::kF32:
      return run(TypeTag<float>());
    case DType::kBf16:
      return run(TypeTag<Bf16>());
    case DType::kF64:
      return run(TypeTag<double>());
    case DType::kI32:
      break;
  }
  throw Error(ErrorKind::kDevice,
              std::string("no CUDA kernel for ") + operation + " of " + dtype_name(dtype));
}

// run(std::integral_constant<int, width>()): packs of kCount, or 1 when `packed` is false.
template <int kCount, class Run>
void for_width(bool packed, const Run& run) {
  if (packed) {
    run(std::integral_constant<int, kCount>());
  } else {
    run(std::integral_constant<int, 1>());
  }
}

}  // namespace finescale::cuda
