// SPDX-License-Identifier: Apache-2.0
// Single elements of f32 and f64 tensors as numbers, for code beside the kernels. Rows contiguous.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace finescale {

[[nodiscard]] inline double element(const TensorView& view, std::int64_t index) {
  return view.dtype == DType::kF64 ? view.as<double>()[index] : double{view.as<float>()[index]};
}

inline void set_element(const TensorView& view, std::int64_t index, double value) {
  view.dtype == DType::kF64 ? view.as<double>()[index] = value
                            : view.as<float>()[index] = static_cast<float>(value);
}

}  // namespace finescale
