// SPDX-License-Identifier: Apache-2.0
#include "kernels/rmsnorm.h"

#include <cmath>
#include <cstdint>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rmsnorm.cpp"
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

// Rows [begin, end): x += residual, then y = x * rstd * weight.
template <class T>
void forward_rows(const TensorView& x, const TensorView& residual, const TensorView& weight,
                  double eps, const TensorView& y, const TensorView& rstd, std::int64_t begin,
                  std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = static_cast<std::size_t>(x.cols());
  const T* w = weight.as<T>();
  for (std::int64_t t = begin; t < end; ++t) {
    T* row = x.as<T>() + t * x.row_stride;
    T* out = y.as<T>() + t * y.row_stride;
    auto squares = hn::Zero(d);
    if (!residual.empty()) {
      const T* add = residual.as<T>() + t * residual.row_stride;
      for (std::size_t c = 0; c < width; c += lanes) {
        const auto v =
            hn::Add(load_some(d, row + c, width - c, T(0)), load_some(d, add + c, width - c, T(0)));
        store_some(d, v, row + c, width - c);
        squares = hn::MulAdd(v, v, squares);
      }
    } else {
      for (std::size_t c = 0; c < width; c += lanes) {
        const auto v = load_some(d, row + c, width - c, T(0));
        squares = hn::MulAdd(v, v, squares);
      }
    }
    const T mean = hn::GetLane(hn::SumOfLanes(d, squares)) / static_cast<T>(width);
    const T scale = T(1) / std::sqrt(mean + static_cast<T>(eps));
    rstd.as<T>()[t] = scale;
    const auto factor = hn::Set(d, scale);
    for (std::size_t c = 0; c < width; c += lanes) {
      const auto v = hn::Mul(hn::Mul(load_some(d, row + c, width - c, T(0)), factor),
                             load_some(d, w + c, width - c, T(0)));
      store_some(d, v, out + c, width - c);
    }
  }
}

// dx += rstd (dy w) - x rstd^3 / C sum(dy w x)
template <class T>
void backward_rows(const TensorView& dy, const TensorView& x, const TensorView& weight,
                   const TensorView& rstd, const TensorView& dx, std::int64_t begin,
                   std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = static_cast<std::size_t>(x.cols());
  const T* w = weight.as<T>();
  for (std::int64_t t = begin; t < end; ++t) {
    const T* row = x.as<T>() + t * x.row_stride;
    const T* grad = dy.as<T>() + t * dy.row_stride;
    T* out = dx.as<T>() + t * dx.row_stride;
    auto dot = hn::Zero(d);
    for (std::size_t c = 0; c < width; c += lanes) {
      const auto g =
          hn::Mul(load_some(d, grad + c, width - c, T(0)), load_some(d, w + c, width - c, T(0)));
      dot = hn::MulAdd(g, load_some(d, row + c, width - c, T(0)), dot);
    }
    const T scale = rstd.as<T>()[t];
    const auto factor = hn::Set(d, scale);
    const auto back = hn::Set(
        d, -hn::GetLane(hn::SumOfLanes(d, dot)) * scale * scale * scale / static_cast<T>(width));
    for (std::size_t c = 0; c < width; c += lanes) {
      const auto g =
          hn::Mul(load_some(d, grad + c, width - c, T(0)), load_some(d, w + c, width - c, T(0)));
      auto sum = load_some(d, out + c, width - c, T(0));
      sum = hn::MulAdd(g, factor, sum);
      sum = hn::MulAdd(load_some(d, row + c, width - c, T(0)), back, sum);
      store_some(d, sum, out + c, width - c);
    }
  }
}

// Columns [begin, end) of dweight, summed over blocks of 64 rows: rounding grows with T / 64, and
// the order is fixed.
template <class T>
void weight_columns(const TensorView& dy, const TensorView& x, const TensorView& rstd,
                    const TensorView& dweight, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  add_column_sums(x.rows(), dweight.as<T>(), begin, end,
                  [&](std::int64_t t, std::int64_t c, std::size_t left, auto sum) HWY_ATTR {
                    const auto normed =
                        hn::Mul(load_some(d, x.as<T>() + t * x.row_stride + c, left, T(0)),
                                hn::Set(d, rstd.as<T>()[t]));
                    return hn::MulAdd(load_some(d, dy.as<T>() + t * dy.row_stride + c, left, T(0)),
                                      normed, sum);
                  });
}

void forward(const TensorView& x, const TensorView& residual, const TensorView& weight, double eps,
             const TensorView& y, const TensorView& rstd, std::int64_t begin, std::int64_t end) {
  x.dtype == DType::kF64 ? forward_rows<double>(x, residual, weight, eps, y, rstd, begin, end)
                         : forward_rows<float>(x, residual, weight, eps, y, rstd, begin, end);
}

void backward(const TensorView& dy, const TensorView& x, const TensorView& weight,
              const TensorView& rstd, const TensorView& dx, std::int64_t begin, std::int64_t end) {
  x.dtype == DType::kF64 ? backward_rows<double>(dy, x, weight, rstd, dx, begin, end)
                         : backward_rows<float>(dy, x, weight, rstd, dx, begin, end);
}

void backward_weight(const TensorView& dy, const TensorView& x, const TensorView& rstd,
                     const TensorView& dweight, std::int64_t begin, std::int64_t end) {
  x.dtype == DType::kF64 ? weight_columns<double>(dy, x, rstd, dweight, begin, end)
                         : weight_columns<float>(dy, x, rstd, dweight, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(backward_weight);

void rmsnorm_forward(const Stream& /*stream*/, const TensorView& x, const TensorView& residual,
                     const TensorView& weight, double eps, const TensorView& y,
                     const TensorView& rstd) {
  ensure_isa();
  parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(forward)(x, residual, weight, eps, y, rstd, begin, end);
               });
}

void rmsnorm_backward(const Stream& /*stream*/, const TensorView& dy, const TensorView& x,
                      const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                      const TensorView& dweight) {
  ensure_isa();
  if (!dx.empty()) {
    parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(backward)(dy, x, weight, rstd, dx, begin, end);
                 });
  }
  if (!dweight.empty()) {
    constexpr std::int64_t kColumns = 16;  // cuts fall on multiples of the widest vector
    const std::int64_t width = x.cols();
    parallel_for((width + kColumns - 1) / kColumns, 1 + kGrainElements / (x.rows() * kColumns + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(backward_weight)
                   (dy, x, rstd, dweight, begin * kColumns,
                    end * kColumns < width ? end * kColumns : width);
                 });
  }
}

}  // namespace finescale::cpu
#endif
