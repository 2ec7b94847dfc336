// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix, column by column: gradients of weights and biases of norms and
// projections. Rows go in blocks of fixed size, so rounding grows with T / 64 and no bit depends on
// the cut of the columns. Included once per Highway target.
#if defined(FINESCALE_KERNELS_CPU_COLUMN_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FINESCALE_KERNELS_CPU_COLUMN_SUMS_INL_H_
#undef FINESCALE_KERNELS_CPU_COLUMN_SUMS_INL_H_
#else
#define FINESCALE_KERNELS_CPU_COLUMN_SUMS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {

// out[c] += sum over rows t of a term, for columns [begin, end). term(t, c, left, sum) returns sum
// with the terms of row t at columns c.. added, of which `left` exist.
template <class T, class Term>
HWY_INLINE void add_column_sums(std::int64_t rows, T* out, std::int64_t begin, std::int64_t end,
                                Term&& term) {
  constexpr std::int64_t kRowBlock = 64;
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = begin; c < end; c += lanes) {
    const auto left = static_cast<std::size_t>(end - c);
    auto total = hn::Zero(d);
    for (std::int64_t block = 0; block < rows; block += kRowBlock) {
      auto sum = hn::Zero(d);
      const std::int64_t stop = std::min(block + kRowBlock, rows);
      for (std::int64_t t = block; t < stop; ++t) {
        sum = term(t, c, left, sum);
      }
      total = hn::Add(total, sum);
    }
    store_some(d, hn::Add(load_some(d, out + c, left, T(0)), total), out + c, left);
  }
}

}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
