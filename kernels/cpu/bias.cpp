// SPDX-License-Identifier: Apache-2.0
#include "kernels/bias.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bias.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/column_sums-inl.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void add_rows_of(const TensorView& bias, const TensorView& y, std::int64_t begin,
                 std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(y.cols());
  const T* b = bias.as<T>();
  for (std::int64_t t = begin; t < end; ++t) {
    T* row = y.as<T>() + t * y.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      store_some(d, hn::Add(load_some(d, row + c, left, T(0)), load_some(d, b + c, left, T(0))),
                 row + c, left);
    }
  }
}

template <class T>
void sum_columns(const TensorView& dy, const TensorView& dbias, std::int64_t begin,
                 std::int64_t end) {
  const hn::ScalableTag<T> d;
  add_column_sums(dy.rows(), dbias.as<T>(), begin, end,
                  [&](std::int64_t t, std::int64_t c, std::size_t left, auto sum) HWY_ATTR {
                    return hn::Add(sum,
                                   load_some(d, dy.as<T>() + t * dy.row_stride + c, left, T(0)));
                  });
}

template <class T>
void affine_rows(T factor, T addend, const TensorView& x, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(x.cols());
  const auto f = hn::Set(d, factor);
  const auto a = hn::Set(d, addend);
  for (std::int64_t t = begin; t < end; ++t) {
    T* row = x.as<T>() + t * x.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      store_some(d, hn::MulAdd(load_some(d, row + c, width - c, T(0)), f, a), row + c, width - c);
    }
  }
}

void add(const TensorView& bias, const TensorView& y, std::int64_t begin, std::int64_t end) {
  y.dtype == DType::kF64 ? add_rows_of<double>(bias, y, begin, end)
                         : add_rows_of<float>(bias, y, begin, end);
}

void gradient(const TensorView& dy, const TensorView& dbias, std::int64_t begin, std::int64_t end) {
  dy.dtype == DType::kF64 ? sum_columns<double>(dy, dbias, begin, end)
                          : sum_columns<float>(dy, dbias, begin, end);
}

void affine(double factor, double addend, const TensorView& x, std::int64_t begin,
            std::int64_t end) {
  x.dtype == DType::kF64
      ? affine_rows<double>(factor, addend, x, begin, end)
      : affine_rows<float>(static_cast<float>(factor), static_cast<float>(addend), x, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(add);
HWY_EXPORT(gradient);
HWY_EXPORT(affine);

void bias_add(const Stream& /*stream*/, const TensorView& bias, const TensorView& y) {
  ensure_isa();
  parallel_for(y.rows(), 1 + kGrainElements / (y.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(add)(bias, y, begin, end);
               });
}

void bias_gradient(const Stream& /*stream*/, const TensorView& dy, const TensorView& dbias) {
  ensure_isa();
  constexpr std::int64_t kColumns = 16;  // cuts fall on multiples of the widest vector
  const std::int64_t width = dy.cols();
  parallel_for((width + kColumns - 1) / kColumns, 1 + kGrainElements / (dy.rows() * kColumns + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(gradient)
                 (dy, dbias, begin * kColumns, std::min(end * kColumns, width));
               });
}

void affine_in_place(const Stream& /*stream*/, double factor, double addend, const TensorView& x) {
  ensure_isa();
  parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(affine)(factor, addend, x, begin, end);
               });
}

}  // namespace finescale::cpu
#endif
