// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_norm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/head_norm.cpp"
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
void forward_rows(const TensorView& x, const TensorView& weight, double eps, const TensorView& y,
                  const TensorView& rstd, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(weight.cols());
  const std::int64_t heads = rstd.cols();
  const T* w = weight.as<T>();
  for (std::int64_t t = begin; t < end; ++t) {
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t column = head * weight.cols();
      const T* row = x.as<T>() + t * x.row_stride + column;
      T* out = y.as<T>() + t * y.row_stride + column;
      auto squares = hn::Zero(d);
      for (std::size_t c = 0; c < width; c += lanes) {
        const auto v = load_some(d, row + c, width - c, T(0));
        squares = hn::MulAdd(v, v, squares);
      }
      const T mean = hn::GetLane(hn::SumOfLanes(d, squares)) / static_cast<T>(width);
      const T scale = T(1) / std::sqrt(mean + static_cast<T>(eps));
      rstd.as<T>()[t * heads + head] = scale;
      const auto factor = hn::Set(d, scale);
      for (std::size_t c = 0; c < width; c += lanes) {
        const auto v = hn::Mul(load_some(d, row + c, width - c, T(0)), factor);
        store_some(d, hn::Mul(v, load_some(d, w + c, width - c, T(0))), out + c, width - c);
      }
    }
  }
}

// dx = rstd (dy w) - x rstd^3 / D sum(dy w x); each vector of dy is read before dx is written.
template <class T>
void backward_rows(const TensorView& dy, const TensorView& x, const TensorView& weight,
                   const TensorView& rstd, const TensorView& dx, std::int64_t begin,
                   std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(weight.cols());
  const std::int64_t heads = rstd.cols();
  const T* w = weight.as<T>();
  for (std::int64_t t = begin; t < end; ++t) {
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t column = head * weight.cols();
      const T* row = x.as<T>() + t * x.row_stride + column;
      const T* grad = dy.as<T>() + t * dy.row_stride + column;
      T* out = dx.as<T>() + t * dx.row_stride + column;
      auto dot = hn::Zero(d);
      for (std::size_t c = 0; c < width; c += lanes) {
        const auto g =
            hn::Mul(load_some(d, grad + c, width - c, T(0)), load_some(d, w + c, width - c, T(0)));
        dot = hn::MulAdd(g, load_some(d, row + c, width - c, T(0)), dot);
      }
      const T scale = rstd.as<T>()[t * heads + head];
      const auto factor = hn::Set(d, scale);
      const auto back = hn::Set(
          d, -hn::GetLane(hn::SumOfLanes(d, dot)) * scale * scale * scale / static_cast<T>(width));
      for (std::size_t c = 0; c < width; c += lanes) {
        const auto g =
            hn::Mul(load_some(d, grad + c, width - c, T(0)), load_some(d, w + c, width - c, T(0)));
        store_some(d, hn::MulAdd(load_some(d, row + c, width - c, T(0)), back, hn::Mul(g, factor)),
                   out + c, width - c);
      }
    }
  }
}

// Columns [begin, end) of dweight: each token's heads in order, tokens in blocks of 64.
template <class T>
void weight_columns(const TensorView& dy, const TensorView& x, const TensorView& rstd,
                    const TensorView& dweight, std::int64_t begin, std::int64_t end) {
  const std::int64_t heads = rstd.cols();
  const std::int64_t width = dweight.cols();
  const hn::ScalableTag<T> d;
  add_column_sums(x.rows(), dweight.as<T>(), begin, end,
                  [&](std::int64_t t, std::int64_t c, std::size_t left, auto sum) HWY_ATTR {
                    for (std::int64_t head = 0; head < heads; ++head) {
                      const std::int64_t column = head * width + c;
                      const auto normed =
                          hn::Mul(load_some(d, x.as<T>() + t * x.row_stride + column, left, T(0)),
                                  hn::Set(d, rstd.as<T>()[t * heads + head]));
                      sum = hn::MulAdd(
                          load_some(d, dy.as<T>() + t * dy.row_stride + column, left, T(0)), normed,
                          sum);
                    }
                    return sum;
                  });
}

void forward(const TensorView& x, const TensorView& weight, double eps, const TensorView& y,
             const TensorView& rstd, std::int64_t begin, std::int64_t end) {
  x.dtype == DType::kF64 ? forward_rows<double>(x, weight, eps, y, rstd, begin, end)
                         : forward_rows<float>(x, weight, eps, y, rstd, begin, end);
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

void head_norm_forward(const Stream& /*stream*/, const TensorView& x, const TensorView& weight,
                       double eps, const TensorView& y, const TensorView& rstd) {
  ensure_isa();
  parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(forward)(x, weight, eps, y, rstd, begin, end);
               });
}

void head_norm_backward(const Stream& /*stream*/, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& rstd, const TensorView& dx,
                        const TensorView& dweight) {
  ensure_isa();
  if (!dweight.empty()) {                  // first: dx may overwrite dy
    constexpr std::int64_t kColumns = 16;  // cuts fall on multiples of the widest vector
    const std::int64_t width = dweight.cols();
    parallel_for((width + kColumns - 1) / kColumns,
                 1 + kGrainElements / (x.rows() * rstd.cols() * kColumns + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(backward_weight)
                   (dy, x, rstd, dweight, begin * kColumns, std::min(end * kColumns, width));
                 });
  }
  if (!dx.empty()) {
    parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(backward)(dy, x, weight, rstd, dx, begin, end);
                 });
  }
}

}  // namespace finescale::cpu
#endif
