// SPDX-License-Identifier: Apache-2.0
// What an update multiplies by that is another in every step. The kernels of a GPU read it in its
// memory, so that their launches are the same bytes in all steps and are replayed as graphs; those
// of the CPU get it with the call.
#pragma once

#include <cstdint>

namespace finescale {

// Of the type of the weights; aligned, so that a thread reads the first four at once.
template <class T>
struct alignas(4 * sizeof(T)) StepFactors {
  T scale = 1;                     // of the gradient: clipping; NaN: on a GPU nothing moves
  T keep = 1;                      // of the weight: what decay leaves
  T rate = 0;                      // of the direction, with the sign that the rule wants
  T root = 1;                      // AdamW: of the root of the second moment
  std::uint32_t rounding_key = 0;  // AdamW with moments in bf16
};

template <class T>
[[nodiscard]] StepFactors<T> rounded_to(const StepFactors<double>& factors) {
  return {static_cast<T>(factors.scale), static_cast<T>(factors.keep), static_cast<T>(factors.rate),
          static_cast<T>(factors.root), factors.rounding_key};
}

}  // namespace finescale
