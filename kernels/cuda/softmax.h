// SPDX-License-Identifier: Apache-2.0
// A row of logits by one block: the maximum and the sum of exponentials in one sweep (Milakov and
// Gimelshein 2018, online softmax), the gradient of the loss in another. What fits stays on chip
// between the two: of a row the first steps in registers, then as many as there is room for in
// shared memory; the rest is read again, the last of it first, from the L2, which nothing else of
// the row is asked to keep. A step is one pack of every thread. Letters: V vocabulary.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/power_of_two.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

// Two sizes of blocks: four narrow rows are in work at a time on a multiprocessor, or one wide one
// with all its registers (128 KiB of the row) and shared memory (160 KiB of it on sm_80, 224 on
// sm_90 and 100, 96 on sm_120). Of a row of 128,256 f32, 501 KiB, 213 are read twice on sm_80 and
// 149 on sm_90: 23 and 20 MB of all multiprocessors, where the L2 has 40 and 50.
inline constexpr int kNarrowThreads = 256;
inline constexpr int kWideThreads = 1024;
// Elements of a row that a thread has in registers, half of those that it may use (of f64 less: exp
// takes most); and those that are on their way, and share a maximum, at a time.
template <class T>
inline constexpr int kHeldElements = std::is_same_v<T, double> ? 8 : 32;
inline constexpr int kAtOnce = 8;
// Blocks on a multiprocessor, for which registers are left.
template <class T, int kThreads>
inline constexpr int kSoftmaxBlocks = std::is_same_v<T, double> ? 2 : kWideThreads / kThreads;

// exp(x - y). Subtracted first: a product of each with log2(e) would round away, of two large
// logits that lie close together, what they differ by.
__device__ __forceinline__ float exp_of_difference(float x, float y) {
  return power_of_two((x - y) * 1.44269504F);
}
__device__ __forceinline__ double exp_of_difference(double x, double y) {
  return exp(x - y);
}

// sum of exp(x - max) over some logits; an empty set has the lowest number and sum 0, so that no
// difference is NaN that is none of a NaN or an infinite logit.
template <class T>
struct Exponentials {
  T max = std::numeric_limits<T>::lowest();
  T sum = 0;

  // -inf adds nothing. One exponential for what was there, one for each that is new.
  template <int kCount>
  __device__ __forceinline__ void add(const T (&x)[kCount]) {
    T top = max;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      top = fmax(top, x[i]);
    }
    sum *= exp_of_difference(max, top);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      sum += exp_of_difference(x[i], top);
    }
    max = top;
  }
};

template <class T>
__device__ __forceinline__ Exponentials<T> merged(Exponentials<T> a, Exponentials<T> b) {
  const T max = fmax(a.max, b.max);
  return {max, a.sum * exp_of_difference(a.max, max) + b.sum * exp_of_difference(b.max, max)};
}

// Of the lanes of a warp, the same for each.
template <class T>
__device__ __forceinline__ Exponentials<T> merged_lanes(Exponentials<T> own) {
  T max = own.max;
#pragma unroll
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2) {
    max = fmax(max, __shfl_xor_sync(kAllLanes, max, static_cast<int>(distance)));
  }
  return {max, warp_sum(own.sum * exp_of_difference(own.max, max))};
}

// scale * weight * (softmax - onehot) of one logit; fma by name, so that rounding it to bf16 at
// once rounds the bits that f32 has.
template <class T>
struct LogitGradient {
  T max;
  T factor;  // scale * weight / sum
  T one;     // scale * weight
  int label;

  __device__ __forceinline__ T operator()(T x, bool is_label) const {
    return fma(exp_of_difference(x, max), factor, is_label ? -one : T(0));
  }
};

// One row in the hands of a block of kThreads, which all call the same.
template <class T, int kThreads, int kPack>
class SoftmaxRow {
 public:
  using Value = T;
  static constexpr int kBlock = kThreads;
  static constexpr int kWarps = kThreads / static_cast<int>(kWarp);
  static constexpr int kStep = kThreads * kPack;
  static constexpr int kHeldSteps = kHeldElements<T> / kPack;
  static constexpr int kBatch = kAtOnce / kPack;
  static_assert(kHeldSteps % kBatch == 0);

  // kept [kept_steps, kThreads, kPack] is shared memory; kept_steps a multiple of kBatch.
  __device__ __forceinline__ SoftmaxRow(const T* logits, int width, T* kept, int kept_steps)
      : logits_(logits),
        kept_(kept),
        width_(width),
        packed_(width / kPack * kPack),
        kept_steps_(kept_steps) {}

  // What stays in registers.
  __device__ __forceinline__ void hold() {
#pragma unroll
    for (int step = 0; step < kHeldSteps; ++step) {
      load<Reuse::kNever>(step, held_[step]);
    }
    const int c = packed_ + static_cast<int>(threadIdx.x);
    last_[0] = c < width_ ? logits_[c] : -static_cast<T>(INFINITY);
  }

  // Of the whole row, behind hold(); the same for every thread. parts [2, kWarps] is shared
  // memory. What a thread does in front of the call all threads have done when it returns.
  __device__ __forceinline__ Exponentials<T> exponentials(T (&parts)[2][kWarps]) {
    Exponentials<T> own;
#pragma unroll
    for (int step = 0; step < kHeldSteps; step += kBatch) {
      if (step * kStep < packed_) {
        add_batch(&held_[step], own);
      }
    }
    T batch[kBatch][kPack];
    const int kept_end = kHeldSteps + kept_steps_;
    for (int step = kHeldSteps; step < kept_end; step += kBatch) {
      load_batch<Reuse::kNever>(step, batch);
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        store_pack(batch[b], kept_of(step + b));
      }
      add_batch(batch, own);
    }
    for (int step = kept_end; step * kStep < packed_; step += kBatch) {
      load_batch<Reuse::kSoon>(step, batch);
      add_batch(batch, own);
    }
    own.add(last_);
    return merged_threads(own, parts);
  }

  // Behind hold(), and exponentials() where steps are kept; all threads have done the first. `to`
  // may be the logits, or, stored in half as many bytes, begin where they begin: then what is
  // written of the steps before the 2n-th lies on those before the n-th, and a barrier is enough
  // each time that the steps have doubled.
  template <class S>
  __device__ __forceinline__ void write(const LogitGradient<T>& gradient, S* to) const {
    const int kept_end = kHeldSteps + kept_steps_;
    const int steps = (width_ + kStep - 1) / kStep;
    for (int begin = kept_end; begin < steps;) {
      const int end = sizeof(S) == sizeof(T) || 2 * begin > steps ? steps : 2 * begin;
      write_again(gradient, begin, end, to);
      begin = end;
      if (begin < steps) {
        __syncthreads();
      }
    }
#pragma unroll 2
    for (int step = kept_end - 1; step >= kHeldSteps; --step) {
      T x[kPack];
      load_pack(kept_of(step), x);
      write_pack(gradient, x, step, to);
    }
#pragma unroll
    for (int step = 0; step < kHeldSteps; ++step) {
      write_pack(gradient, held_[step], step, to);
    }
    const int c = packed_ + static_cast<int>(threadIdx.x);
    if (c < width_) {
      to[c] = to_storage<S>(gradient(last_[0], c == gradient.label));
    }
  }

 private:
  __device__ __forceinline__ static int column_of(int step) {
    return step * kStep + static_cast<int>(threadIdx.x) * kPack;
  }
  // Each thread reads what it wrote itself.
  __device__ __forceinline__ T* kept_of(int step) const {
    return kept_ + column_of(step - kHeldSteps);
  }
  template <Reuse kReuse>
  __device__ __forceinline__ void load(int step, T (&x)[kPack]) const {
    const int c = column_of(step);
    if (c < packed_) {
      load_pack<kPack, T, kReuse>(logits_ + c, x);
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        x[i] = -static_cast<T>(INFINITY);
      }
    }
  }
  template <Reuse kReuse>
  __device__ __forceinline__ void load_batch(int step, T (&batch)[kBatch][kPack]) const {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      load<kReuse>(step + b, batch[b]);
    }
  }
  __device__ __forceinline__ static void add_batch(const T (*batch)[kPack], Exponentials<T>& own) {
    T x[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      x[i] = batch[i / kPack][i % kPack];
    }
    own.add(x);
  }
  __device__ __forceinline__ static Exponentials<T> merged_threads(Exponentials<T> own,
                                                                   T (&parts)[2][kWarps]) {
    static_assert(kWarps <= static_cast<int>(kWarp));
    const unsigned lane = threadIdx.x % kWarp;
    own = merged_lanes(own);
    if (lane == 0) {
      parts[0][threadIdx.x / kWarp] = own.max;
      parts[1][threadIdx.x / kWarp] = own.sum;
    }
    __syncthreads();
    return merged_lanes(lane < static_cast<unsigned>(kWarps)
                            ? Exponentials<T>{parts[0][lane], parts[1][lane]}
                            : Exponentials<T>{});
  }
  // Steps [begin, end), the last first: the L2 saw it last.
  template <class S>
  __device__ __forceinline__ void write_again(const LogitGradient<T>& gradient, int begin, int end,
                                              S* to) const {
    for (int above = end; above > begin; above -= kBatch) {
      T batch[kBatch][kPack];
#pragma unroll
      for (int b = 1; b <= kBatch; ++b) {
        if (above - b >= begin) {
          load<Reuse::kNever>(above - b, batch[b - 1]);
        }
      }
#pragma unroll
      for (int b = 1; b <= kBatch; ++b) {
        if (above - b >= begin) {
          write_pack(gradient, batch[b - 1], above - b, to);
        }
      }
    }
  }
  template <class S>
  __device__ __forceinline__ void write_pack(const LogitGradient<T>& gradient, const T (&x)[kPack],
                                             int step, S* to) const {
    const int c = column_of(step);
    if (c < packed_) {
      const int label = gradient.label - c;
      T y[kPack];
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        y[i] = gradient(x[i], i == label);
      }
      store_pack<kPack, S, Reuse::kNever>(y, to + c);
    }
  }

  const T* logits_;
  T* kept_;
  int width_;
  int packed_;  // columns in whole packs
  int kept_steps_;
  T held_[kHeldSteps][kPack];
  T last_[1];  // behind the packs, of the first threads
};

// run(TypeTag<SoftmaxRow<T, threads, pack>>()) for rows of `logits`.
template <class T, class Run>
void for_softmax_rows(const TensorView& logits, const TensorView& gradient, const Run& run) {
  if constexpr (std::is_same_v<T, double>) {
    run(TypeTag<SoftmaxRow<double, kNarrowThreads, 1>>());
  } else {
    constexpr int kWide = kPack<T>;
    const bool is_packed = lies_on(kWide, logits) && (gradient.empty() || lies_on(kWide, gradient));
    for_width<kWide>(is_packed, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      if (logits.cols() <= kNarrowThreads * kHeldElements<T>) {
        run(TypeTag<SoftmaxRow<T, kNarrowThreads, kWidth>>());
      } else {
        run(TypeTag<SoftmaxRow<T, kWideThreads, kWidth>>());
      }
    });
  }
}

// run(TypeTag<T>(), TypeTag<S>()): what logits and their gradient are stored as.
template <class Run>
void for_gradient(const TensorView& logits, const TensorView& gradient, const Run& run) {
  if (logits.dtype == DType::kF64) {
    run(TypeTag<double>(), TypeTag<double>());
  } else if (gradient.dtype == DType::kBf16) {
    run(TypeTag<float>(), TypeTag<Bf16>());
  } else {
    run(TypeTag<float>(), TypeTag<float>());
  }
}

}  // namespace finescale::cuda
