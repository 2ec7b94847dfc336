// SPDX-License-Identifier: Apache-2.0
#include "kernels/layernorm.h"

#include <cmath>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layernorm.cpp"
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

// Rows [begin, end): x += residual, then mean, variance around it (two passes: no cancellation) and
// y.
template <class T>
void forward_rows(const TensorView& x, const TensorView& residual, const TensorView& weight,
                  const TensorView& bias, double eps, const TensorView& y,
                  const TensorView& statistics, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(x.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    T* row = x.as<T>() + t * x.row_stride;
    T* out = y.as<T>() + t * y.row_stride;
    auto sum = hn::Zero(d);
    for (std::size_t c = 0; c < width; c += lanes) {
      auto v = load_some(d, row + c, width - c, T(0));
      if (!residual.empty()) {
        v = hn::Add(v,
                    load_some(d, residual.as<T>() + t * residual.row_stride + c, width - c, T(0)));
        store_some(d, v, row + c, width - c);
      }
      sum = hn::Add(sum, v);
    }
    const T mean = hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<T>(width);
    const auto middle = hn::Set(d, mean);
    auto squares = hn::Zero(d);
    for (std::size_t c = 0; c < width; c += lanes) {  // lanes behind the row hold the mean: nothing
      const auto v = hn::Sub(load_some(d, row + c, width - c, mean), middle);
      squares = hn::MulAdd(v, v, squares);
    }
    const T variance = hn::GetLane(hn::SumOfLanes(d, squares)) / static_cast<T>(width);
    const T scale = T(1) / std::sqrt(variance + static_cast<T>(eps));
    statistics.as<T>()[2 * t] = mean;
    statistics.as<T>()[2 * t + 1] = scale;
    const auto factor = hn::Set(d, scale);
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto normed = hn::Mul(hn::Sub(load_some(d, row + c, left, T(0)), middle), factor);
      store_some(d,
                 hn::MulAdd(normed, load_some(d, weight.as<T>() + c, left, T(0)),
                            load_some(d, bias.as<T>() + c, left, T(0))),
                 out + c, left);
    }
  }
}

// With n = (x - mean) rstd and g = dy w: dx += rstd (g - mean(g) - n mean(g n)).
template <class T>
void backward_rows(const TensorView& dy, const TensorView& x, const TensorView& weight,
                   const TensorView& statistics, const TensorView& dx, std::int64_t begin,
                   std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(x.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    const T* row = x.as<T>() + t * x.row_stride;
    const T* grad = dy.as<T>() + t * dy.row_stride;
    T* out = dx.as<T>() + t * dx.row_stride;
    const T scale = statistics.as<T>()[2 * t + 1];
    const auto middle = hn::Set(d, statistics.as<T>()[2 * t]);
    const auto factor = hn::Set(d, scale);
    auto sum = hn::Zero(d);
    auto dot = hn::Zero(d);
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto g =
          hn::Mul(load_some(d, grad + c, left, T(0)), load_some(d, weight.as<T>() + c, left, T(0)));
      const auto n = hn::Mul(hn::Sub(load_some(d, row + c, left, T(0)), middle), factor);
      sum = hn::Add(sum, g);
      dot = hn::MulAdd(g, n, dot);
    }
    const auto mean_g = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<T>(width));
    const auto mean_gn = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, dot)) / static_cast<T>(width));
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto g =
          hn::Mul(load_some(d, grad + c, left, T(0)), load_some(d, weight.as<T>() + c, left, T(0)));
      const auto n = hn::Mul(hn::Sub(load_some(d, row + c, left, T(0)), middle), factor);
      const auto part = hn::NegMulAdd(n, mean_gn, hn::Sub(g, mean_g));
      store_some(d, hn::MulAdd(part, factor, load_some(d, out + c, left, T(0))), out + c, left);
    }
  }
}

// Columns [begin, end) of dweight, over blocks of 64 rows as RMSNorm's.
template <class T>
void weight_columns(const TensorView& dy, const TensorView& x, const TensorView& statistics,
                    const TensorView& dweight, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  add_column_sums(x.rows(), dweight.as<T>(), begin, end,
                  [&](std::int64_t t, std::int64_t c, std::size_t left, auto sum) HWY_ATTR {
                    const auto centred =
                        hn::Sub(load_some(d, x.as<T>() + t * x.row_stride + c, left, T(0)),
                                hn::Set(d, statistics.as<T>()[2 * t]));
                    const auto normed = hn::Mul(centred, hn::Set(d, statistics.as<T>()[2 * t + 1]));
                    return hn::MulAdd(load_some(d, dy.as<T>() + t * dy.row_stride + c, left, T(0)),
                                      normed, sum);
                  });
}

void forward(const TensorView& x, const TensorView& residual, const TensorView& weight,
             const TensorView& bias, double eps, const TensorView& y, const TensorView& statistics,
             std::int64_t begin, std::int64_t end) {
  x.dtype == DType::kF64
      ? forward_rows<double>(x, residual, weight, bias, eps, y, statistics, begin, end)
      : forward_rows<float>(x, residual, weight, bias, eps, y, statistics, begin, end);
}

void backward(const TensorView& dy, const TensorView& x, const TensorView& weight,
              const TensorView& statistics, const TensorView& dx, std::int64_t begin,
              std::int64_t end) {
  x.dtype == DType::kF64 ? backward_rows<double>(dy, x, weight, statistics, dx, begin, end)
                         : backward_rows<float>(dy, x, weight, statistics, dx, begin, end);
}

void backward_weight(const TensorView& dy, const TensorView& x, const TensorView& statistics,
                     const TensorView& dweight, std::int64_t begin, std::int64_t end) {
  x.dtype == DType::kF64 ? weight_columns<double>(dy, x, statistics, dweight, begin, end)
                         : weight_columns<float>(dy, x, statistics, dweight, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(backward_weight);

void layernorm_forward(const Stream& /*stream*/, const TensorView& x, const TensorView& residual,
                       const TensorView& weight, const TensorView& bias, double eps,
                       const TensorView& y, const TensorView& statistics) {
  ensure_isa();
  parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(forward)
                 (x, residual, weight, bias, eps, y, statistics, begin, end);
               });
}

void layernorm_backward(const Stream& /*stream*/, const TensorView& dy, const TensorView& x,
                        const TensorView& weight, const TensorView& statistics,
                        const TensorView& dx, const TensorView& dweight) {
  ensure_isa();
  if (!dx.empty()) {
    parallel_for(x.rows(), 1 + kGrainElements / (x.cols() + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(backward)(dy, x, weight, statistics, dx, begin, end);
                 });
  }
  if (!dweight.empty()) {
    constexpr std::int64_t kColumns = 16;  // cuts fall on multiples of the widest vector
    const std::int64_t width = x.cols();
    parallel_for((width + kColumns - 1) / kColumns, 1 + kGrainElements / (x.rows() * kColumns + 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   HWY_DYNAMIC_DISPATCH(backward_weight)
                   (dy, x, statistics, dweight, begin * kColumns,
                    end * kColumns < width ? end * kColumns : width);
                 });
  }
}

}  // namespace finescale::cpu
#endif
