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

// Row t: for each head, (a, b) = (x[i], x[i + half]) -> (a cos - b sin, b cos + a sin); `inverse`
// flips the sign of sin.
template <class T>
void rotate_rows(const TensorView& x, std::int64_t head_dim, const TensorView& positions,
                 const TensorView& cos, const TensorView& sin, bool inverse, std::int64_t begin,
                 std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t half = static_cast<std::size_t>(cos.cols());
  const std::int64_t heads = x.cols() / head_dim;
  const T sign = inverse ? T(-1) : T(1);
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t position = positions.as<std::int32_t>()[t];
    const T* c = cos.as<T>() + position * cos.row_stride;
    const T* s = sin.as<T>() + position * sin.row_stride;
    for (std::int64_t head = 0; head < heads; ++head) {
      T* row = x.as<T>() + t * x.row_stride + head * head_dim;
      if (half % lanes == 0) {
        for (std::size_t i = 0; i < half; i += lanes) {
          const auto a = hn::LoadU(d, row + i);
          const auto b = hn::LoadU(d, row + half + i);
          const auto cv = hn::LoadU(d, c + i);
          const auto sv = hn::Mul(hn::LoadU(d, s + i), hn::Set(d, sign));
          hn::StoreU(hn::NegMulAdd(b, sv, hn::Mul(a, cv)), d, row + i);
          hn::StoreU(hn::MulAdd(a, sv, hn::Mul(b, cv)), d, row + half + i);
        }
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
