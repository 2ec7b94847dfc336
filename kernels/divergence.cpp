// SPDX-License-Identifier: Apache-2.0
#include "kernels/divergence.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

namespace {

template <class T>
void combine(const DivergenceRule& rule, const T* parts, std::int64_t ranks, std::int64_t rows,
             T* out) {
  const T cold = static_cast<T>(1 / rule.temperature);
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto part = [&](std::int64_t rank) {
      return parts + kDivergenceStatistics * (rank * rows + r);
    };
    T top = part(0)[0];
    T teacher_top = part(0)[4];
    for (std::int64_t rank = 1; rank < ranks; ++rank) {
      top = std::max(top, part(rank)[0]);
      teacher_top = std::max(teacher_top, part(rank)[4]);
    }
    T* whole = out + kDivergenceStatistics * r;
    std::fill_n(whole, kDivergenceStatistics, T(0));
    whole[0] = top;
    whole[4] = teacher_top;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const T* s = part(rank);
      const T off = s[0] - top;
      const T teacher_off = s[4] - teacher_top;
      const T factor = std::exp(off * cold);
      const T teacher_factor = std::exp(teacher_off * cold);
      whole[1] += s[1] * std::exp(off);
      whole[2] += s[2];  // zero on all ranks but one
      whole[3] += s[3] * factor;
      whole[5] += s[5] * teacher_factor;
      // Differences of the exponents were taken from the part's own largest logits.
      const T shift = (teacher_off - off) * cold;
      whole[6] += rule.is_reversed ? factor * (s[6] - s[3] * shift)
                                   : teacher_factor * (s[6] + s[5] * shift);
    }
  }
}

}  // namespace

void divergence_statistics(const Stream& stream, const DivergenceRule& rule,
                           const TensorView& logits, const TensorView& teacher,
                           const TensorView& labels, const TensorView& statistics) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "divergence_statistics", {logits.rows(), logits.cols()}, 0, 2 * bytes_of(logits)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::divergence_statistics(stream, rule, logits, teacher, labels, statistics);
      return;
    case DeviceType::kCuda:
      no_kernel("divergence_statistics");
  }
}

void divergence_combine(const DivergenceRule& rule, const TensorView& parts,
                        const TensorView& whole) {
  const std::int64_t rows = whole.rows();
  const std::int64_t ranks = rows == 0 ? 0 : parts.rows() / rows;
  whole.dtype == DType::kF64 ? combine(rule, parts.as<double>(), ranks, rows, whole.as<double>())
                             : combine(rule, parts.as<float>(), ranks, rows, whole.as<float>());
}

void divergence_finish(const Stream& stream, const DivergenceRule& rule, const TensorView& logits,
                       const TensorView& teacher, const TensorView& labels,
                       const TensorView& weights, double scale, const TensorView& statistics,
                       const TensorView& losses, bool want_gradient) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"divergence_finish",
                      {logits.rows(), logits.cols()},
                      0,
                      want_gradient ? 3 * bytes_of(logits) : 0};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::divergence_finish(stream, rule, logits, teacher, labels, weights, scale, statistics,
                             losses, want_gradient);
      return;
    case DeviceType::kCuda:
      no_kernel("divergence_finish");
  }
}

}  // namespace finescale
