// SPDX-License-Identifier: Apache-2.0
// The factors of a step's ranges in the memory of a GPU, a row for each. Written once a step by one
// copy; the rows stay where they are, so that the launches that read them are the same in all
// steps.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"
#include "kernels/step_factors.h"

namespace finescale {

class StepTable {
 public:
  // Row i: rows[i] in numbers of the dtype, that of the weights. Enqueued; anew where there are
  // more rows than ever.
  void write(const Stream& stream, DType dtype, std::span<const StepFactors<double>> rows);
  // Makes the scale of all rows from the norm of the gradient, in the memory of the GPU: at most
  // max_norm is left of it (0: all). Enqueued.
  void clip(const Stream& stream, const double* norm, double max_norm) const;
  // What AdamwStep and its like call factors.
  [[nodiscard]] const void* row(std::size_t index) const noexcept {
    return static_cast<const std::byte*>(memory_.data()) + index * row_bytes_;
  }

 private:
  DType dtype_ = DType::kF32;
  std::size_t row_bytes_ = 0;
  std::vector<std::byte> bytes_;
  AlignedBuffer memory_;
};

}  // namespace finescale
