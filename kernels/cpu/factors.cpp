// SPDX-License-Identifier: Apache-2.0
#include "kernels/factors.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/factors.cpp"
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

// factor * constant at columns c..
template <class D, class T>
HWY_INLINE hn::Vec<D> product_at(D d, const T* factor, const T* constant, std::size_t c,
                                 std::size_t left) {
  const auto f = load_some(d, factor + c, left, T(0));
  return constant == nullptr ? f : hn::Mul(f, load_some(d, constant + c, left, T(0)));
}

template <class T>
void scale_rows_of(const TensorView& x, const TensorView& factor, const TensorView& constant,
                   const TensorView& y, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(y.cols());
  const T* by = constant.empty() ? nullptr : constant.as<T>();
  for (std::int64_t t = begin; t < end; ++t) {
    const T* from = x.as<T>() + t * x.row_stride;
    T* to = y.as<T>() + t * y.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto f = product_at(d, factor.as<T>(), by, c, left);
      store_some(d, hn::Mul(load_some(d, from + c, left, T(0)), f), to + c, left);
    }
  }
}

template <class T>
void add_scaled_rows_of(const TensorView& x, const TensorView& factor, const TensorView& y,
                        std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(y.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    const T* from = x.as<T>() + t * x.row_stride;
    T* to = y.as<T>() + t * y.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto f = load_some(d, factor.as<T>() + c, left, T(0));
      const auto sum =
          hn::MulAdd(load_some(d, from + c, left, T(0)), f, load_some(d, to + c, left, T(0)));
      store_some(d, sum, to + c, left);
    }
  }
}

// A vector of columns at a time, so that the sums are multiplied before they are added.
template <class T>
void column_products(const TensorView& dy, const TensorView& x, const TensorView& constant,
                     const TensorView& dfactor, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  HWY_ALIGN T sums[HWY_MAX_BYTES / sizeof(T)];
  for (std::int64_t c = begin; c < end; c += lanes) {
    const auto left = static_cast<std::size_t>(end - c);
    hn::Store(hn::Zero(d), d, sums);
    add_column_sums(dy.rows(), sums, 0, std::min(lanes, end - c),
                    [&](std::int64_t t, std::int64_t i, std::size_t rest, auto sum) HWY_ATTR {
                      return hn::MulAdd(
                          load_some(d, dy.as<T>() + t * dy.row_stride + c + i, rest, T(0)),
                          load_some(d, x.as<T>() + t * x.row_stride + c + i, rest, T(0)), sum);
                    });
    auto total = hn::Load(d, sums);
    if (!constant.empty()) {
      total = hn::Mul(total, load_some(d, constant.as<T>() + c, left, T(0)));
    }
    store_some(d, hn::Add(load_some(d, dfactor.as<T>() + c, left, T(0)), total),
               dfactor.as<T>() + c, left);
  }
}

// Elements [begin, end) of the range; rows are short, so each is a vector's start of its own.
template <class T>
void step_rows(const TensorView& before, const TensorView& after, const TensorView& factors,
               std::int64_t first, std::int64_t columns, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t row = (first + i) / columns;
    const std::int64_t stop = std::min(end, (row + 1) * columns - first);
    const auto factor = hn::Set(d, static_cast<T>(factors.as<double>()[row]));
    for (; i < stop; i += lanes) {
      const auto left = static_cast<std::size_t>(stop - i);
      const auto old = load_some(d, before.as<T>() + i, left, T(0));
      const auto change = hn::Sub(load_some(d, after.as<T>() + i, left, T(0)), old);
      store_some(d, hn::MulAdd(factor, change, old), after.as<T>() + i, left);
    }
    i = stop;
  }
}

void scale(const TensorView& x, const TensorView& factor, const TensorView& constant,
           const TensorView& y, std::int64_t begin, std::int64_t end) {
  y.dtype == DType::kF64 ? scale_rows_of<double>(x, factor, constant, y, begin, end)
                         : scale_rows_of<float>(x, factor, constant, y, begin, end);
}

void add_scaled(const TensorView& x, const TensorView& factor, const TensorView& y,
                std::int64_t begin, std::int64_t end) {
  y.dtype == DType::kF64 ? add_scaled_rows_of<double>(x, factor, y, begin, end)
                         : add_scaled_rows_of<float>(x, factor, y, begin, end);
}

void gradient(const TensorView& dy, const TensorView& x, const TensorView& constant,
              const TensorView& dfactor, std::int64_t begin, std::int64_t end) {
  dy.dtype == DType::kF64 ? column_products<double>(dy, x, constant, dfactor, begin, end)
                          : column_products<float>(dy, x, constant, dfactor, begin, end);
}

void steps(const TensorView& before, const TensorView& after, const TensorView& factors,
           std::int64_t first, std::int64_t columns, std::int64_t begin, std::int64_t end) {
  after.dtype == DType::kF64 ? step_rows<double>(before, after, factors, first, columns, begin, end)
                             : step_rows<float>(before, after, factors, first, columns, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(scale);
HWY_EXPORT(add_scaled);
HWY_EXPORT(gradient);
HWY_EXPORT(steps);

void scale_columns(const Stream& /*stream*/, const TensorView& x, const TensorView& factor,
                   const TensorView& constant, const TensorView& y) {
  ensure_isa();
  parallel_for(y.rows(), 1 + kGrainElements / (y.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(scale)(x, factor, constant, y, begin, end);
               });
}

void add_scaled_columns(const Stream& /*stream*/, const TensorView& x, const TensorView& factor,
                        const TensorView& y) {
  ensure_isa();
  parallel_for(y.rows(), 1 + kGrainElements / (y.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(add_scaled)(x, factor, y, begin, end);
               });
}

void scale_columns_gradient(const Stream& /*stream*/, const TensorView& dy, const TensorView& x,
                            const TensorView& constant, const TensorView& dfactor) {
  ensure_isa();
  constexpr std::int64_t kColumns = 16;  // cuts fall on multiples of the widest vector
  const std::int64_t width = dy.cols();
  parallel_for((width + kColumns - 1) / kColumns, 1 + kGrainElements / (dy.rows() * kColumns + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(gradient)
                 (dy, x, constant, dfactor, begin * kColumns, std::min(end * kColumns, width));
               });
}

void scale_row_steps(const Stream& /*stream*/, const TensorView& before, const TensorView& after,
                     const TensorView& factors, std::int64_t first_element, std::int64_t columns) {
  ensure_isa();
  parallel_for(after.num_elements(), kGrainElements, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(steps)(before, after, factors, first_element, columns, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
