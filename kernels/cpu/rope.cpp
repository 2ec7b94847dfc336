// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// (a, b) -> (a cos - b sin, b cos + a sin) for vectors of a head's halves.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void rotate_head(D d, T* row, const T* cos, const T* sin, std::size_t half, T sign) {
  for (std::size_t i = 0; i < half; i += hn::Lanes(d)) {
    const auto a = hn::LoadU(d, row + i);
    const auto b = hn::LoadU(d, row + half + i);
    const auto c = hn::LoadU(d, cos + i);
    const auto s = hn::Mul(hn::LoadU(d, sin + i), hn::Set(d, sign));
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, row + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, row + half + i);
  }
}

// Row t: for each head, (a, b) = (x[i], x[i + half]) is rotated; `inverse` flips the sign of sin.
template <class T>
void rotate_rows(const TensorView& x, std::int64_t head_dim, const TensorView& positions,
                 const TensorView& cos, const TensorView& sin, bool inverse, std::int64_t begin,
                 std::int64_t end) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 8> narrow;  // heads of 16
  const std::size_t half = static_cast<std::size_t>(cos.cols());
  const std::int64_t heads = x.cols() / head_dim;
  const T sign = inverse ? T(-1) : T(1);
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t position = positions.as<std::int32_t>()[t];
    const T* c = cos.as<T>() + position * cos.row_stride;
    const T* s = sin.as<T>() + position * sin.row_stride;
    for (std::int64_t head = 0; head < heads; ++head) {
      T* row = x.as<T>() + t * x.row_stride + head * head_dim;
      if (half % hn::Lanes(d) == 0) {
        rotate_head(d, row, c, s, half, sign);
      } else if (half % hn::Lanes(narrow) == 0) {
        rotate_head(narrow, row, c, s, half, sign);
      } else {
        for (std::size_t i = 0; i < half; ++i) {
          const T a = row[i];
          const T b = row[half + i];
          row[i] = a * c[i] - b * sign * s[i];
          row[half + i] = b * c[i] + a * sign * s[i];
        }
      }
    }
  }
}

void rotate(const TensorView& x, std::int64_t head_dim, const TensorView& positions,
            const TensorView& cos, const TensorView& sin, bool inverse, std::int64_t begin,
            std::int64_t end) {
  x.dtype == DType::kF64
      ? rotate_rows<double>(x, head_dim, positions, cos, sin, inverse, begin, end)
      : rotate_rows<float>(x, head_dim, positions, cos, sin, inverse, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(rotate);

void rope_apply(const Stream& /*stream*/, const TensorView& x, std::int64_t head_dim,
                const TensorView& positions, const TensorView& cos, const TensorView& sin,
                bool inverse) {
  ensure_isa();
  parallel_for(x.rows(), 1 + 16384 / (x.cols() + 1), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(rotate)(x, head_dim, positions, cos, sin, inverse, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
