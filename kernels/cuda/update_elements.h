// SPDX-License-Identifier: Apache-2.0
// The frame of an optimizer's update: one thread per pack, bound by memory. A Rule changes one
// weight and its states by its gradient and the factors of the step:
// rule(factors, gradient, weight, states).
#pragma once

#include <cstdint>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"
#include "kernels/step_factors.h"

namespace finescale::cuda {

inline constexpr int kUpdateThreads = 256;

template <class T, int kStates>
struct StatePointers {
  T* at[kStates == 0 ? 1 : kStates];
};

// Not where the gradient's norm is not finite. Asked with everything computed, so that what is read
// is on its way together with the factors; what was there is then stored as it was.
template <class T>
__device__ __forceinline__ bool moves(const StepFactors<T>& now) {
  return now.scale == now.scale;
}

// w, g and every state [count]
template <class T, int kWidth, int kStates, class Rule>
__global__ void __launch_bounds__(kUpdateThreads)
    update_elements(Rule rule, const StepFactors<T>* __restrict__ factors, T* __restrict__ w,
                    const T* __restrict__ g, StatePointers<T, kStates> states, std::int64_t count) {
  const std::int64_t i =
      (static_cast<std::int64_t>(blockIdx.x) * kUpdateThreads + threadIdx.x) * kWidth;
  if (i >= count) {
    return;
  }
  const std::int64_t left = count - i;
  const StepFactors<T> now = *factors;
  T weight[kWidth];
  T gradient[kWidth];
  T state[kStates == 0 ? 1 : kStates][kWidth] = {};
  load_some(w + i, left, weight);
  load_some(g + i, left, gradient);
#pragma unroll
  for (int s = 0; s < kStates; ++s) {
    load_some(states.at[s] + i, left, state[s]);
  }
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    T changed = weight[e];
    T own[kStates == 0 ? 1 : kStates];
#pragma unroll
    for (int s = 0; s < kStates; ++s) {
      own[s] = state[s][e];
    }
    rule(now, gradient[e], changed, own);
    weight[e] = moves(now) ? changed : weight[e];
#pragma unroll
    for (int s = 0; s < kStates; ++s) {
      state[s][e] = moves(now) ? own[s] : state[s][e];
    }
  }
#pragma unroll
  for (int s = 0; s < kStates; ++s) {
    store_some(state[s], left, states.at[s] + i);
  }
  store_some(weight, left, w + i);
}

// A step's `factors` (AdamwStep) as what they are.
template <class T>
[[nodiscard]] const StepFactors<T>* factors_in_memory(const void* factors) {
  FS_CHECK(factors != nullptr, "a GPU reads the factors of a step in its memory");
  return static_cast<const StepFactors<T>*>(factors);
}

// states: flat, of the weight's length.
template <class T, class Rule, class... States>
void launch_update(const Stream& stream, const Rule& rule, const void* factors,
                   const TensorView& weight, const TensorView& gradient, const States&... states) {
  constexpr int kStates = static_cast<int>(sizeof...(States));
  const std::int64_t count = weight.num_elements();
  if (count == 0) {
    return;
  }
  const StatePointers<T, kStates> at{{states.template as<T>()...}};
  for_width<kPack<T>>(lies_on(kPack<T>, weight, gradient, states...), [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, update_elements<T, kWidth, kStates, Rule>,
               dim3(blocks_for(count, kUpdateThreads * kWidth)), dim3(kUpdateThreads), 0, rule,
               factors_in_memory<T>(factors), weight.as<T>(), gradient.as<T>(), at, count);
  });
}

}  // namespace finescale::cuda
