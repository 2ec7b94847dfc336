// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/step_table.h"

#include <cstring>

#include "core/transfer.h"
#include "kernels/gradient_norm.h"

namespace finescale {

namespace {

template <class T>
void put_row(const StepFactors<double>& factors, std::byte* to) {
  const StepFactors<T> row = rounded_to<T>(factors);
  std::memcpy(to, &row, sizeof row);
}

}  // namespace

void StepTable::write(const Stream& stream, DType dtype,
                      std::span<const StepFactors<double>> rows) {
  dtype_ = dtype;
  const bool is_wide = dtype == DType::kF64;
  row_bytes_ = is_wide ? sizeof(StepFactors<double>) : sizeof(StepFactors<float>);
  bytes_.resize(rows.size() * row_bytes_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::byte* const to = bytes_.data() + i * row_bytes_;
    is_wide ? put_row<double>(rows[i], to) : put_row<float>(rows[i], to);
  }
  if (memory_.size_bytes() < bytes_.size()) {
    memory_ = AlignedBuffer(bytes_.size(), stream, MemoryPurpose::kOptimizer);
  }
  copy_to_device(stream, bytes_.data(), memory_.data(), bytes_.size());
}

void StepTable::clip(const Stream& stream, const double* norm, double max_norm) const {
  const auto num_rows = static_cast<std::int64_t>(bytes_.size() / row_bytes_);
  clip_factors(stream, TensorView(const_cast<double*>(norm), DType::kF64, Shape{1}), max_norm,
               dtype_, memory_.data(), num_rows);
}

}  // namespace finescale
