// SPDX-License-Identifier: Apache-2.0
#include "kernels/gelu.h"

#include <cmath>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gelu.cpp"
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

// Eigen's rational approximation, within 4e-7; beyond 3.92 erf is 1 in f32, and must be, because
// gelu multiplies what is missing by x.
template <class D>
requires(sizeof(hn::TFromD<D>) == 4) HWY_INLINE hn::Vec<D> vector_erf(D d, hn::Vec<D> value) {
  const auto x = hn::Min(hn::Max(value, hn::Set(d, -4.0F)), hn::Set(d, 4.0F));
  const auto x2 = hn::Mul(x, x);
  auto p = hn::Set(d, -2.72614225801306e-10F);
  p = hn::MulAdd(p, x2, hn::Set(d, 2.77068142495902e-08F));
  p = hn::MulAdd(p, x2, hn::Set(d, -2.10102402082508e-06F));
  p = hn::MulAdd(p, x2, hn::Set(d, -5.69250639462346e-05F));
  p = hn::MulAdd(p, x2, hn::Set(d, -7.34990630326855e-04F));
  p = hn::MulAdd(p, x2, hn::Set(d, -2.95459980854025e-03F));
  p = hn::MulAdd(p, x2, hn::Set(d, -1.60960333262415e-02F));
  auto q = hn::Set(d, -1.45660718464996e-05F);
  q = hn::MulAdd(q, x2, hn::Set(d, -2.13374055278905e-04F));
  q = hn::MulAdd(q, x2, hn::Set(d, -1.68282697438203e-03F));
  q = hn::MulAdd(q, x2, hn::Set(d, -7.37332916720468e-03F));
  q = hn::MulAdd(q, x2, hn::Set(d, -1.42647390514189e-02F));
  return hn::IfThenElse(hn::Ge(hn::Abs(value), hn::Set(d, 3.92F)),
                        hn::CopySign(hn::Set(d, 1.0F), value), hn::Div(hn::Mul(x, p), q));
}

// f64 serves tests and exact comparisons: the library's, lane by lane.
template <class D>
requires(sizeof(hn::TFromD<D>) == 8) HWY_INLINE hn::Vec<D> vector_erf(D d, hn::Vec<D> x) {
  HWY_ALIGN double lanes[HWY_MAX_BYTES / sizeof(double)];
  hn::Store(x, d, lanes);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
    lanes[i] = std::erf(lanes[i]);
  }
  return hn::Load(d, lanes);
}

template <class V>
struct ValueAndSlope {
  V value, slope;
};

// Value and derivative of one vector. tanh form: x s with s = sigmoid(2 u); derivative s + x s (1 -
// s) 2 u'. erf form: x Phi; derivative Phi + x phi.
template <Gelu kKind, class D, class V = hn::Vec<D>>
HWY_INLINE ValueAndSlope<V> gelu_of(D d, V x) {
  using T = hn::TFromD<D>;
  const auto one = hn::Set(d, T(1));
  const auto x2 = hn::Mul(x, x);
  if constexpr (kKind == Gelu::kTanh) {
    constexpr T kRoot = T(0.79788456080286535588);  // sqrt(2 / pi)
    constexpr T kCubic = T(0.044715);
    const auto u2 =
        hn::Mul(x, hn::MulAdd(x2, hn::Set(d, T(2) * kRoot * kCubic), hn::Set(d, T(2) * kRoot)));
    const auto s = hn::Div(one, hn::Add(one, vector_exp(d, hn::Neg(u2))));
    const auto du2 = hn::MulAdd(x2, hn::Set(d, T(6) * kRoot * kCubic), hn::Set(d, T(2) * kRoot));
    const auto value = hn::Mul(x, s);
    return {value, hn::MulAdd(hn::Mul(value, hn::Sub(one, s)), du2, s)};
  } else {
    const auto half = hn::Set(d, T(0.5));
    const auto phi =
        hn::Mul(vector_exp(d, hn::Mul(hn::Neg(half), x2)), hn::Set(d, T(0.39894228040143267794)));
    const auto cdf =
        hn::MulAdd(half, vector_erf(d, hn::Mul(x, hn::Set(d, T(0.70710678118654752440)))), half);
    return {hn::Mul(x, cdf), hn::MulAdd(x, phi, cdf)};
  }
}

// The gate is the first half of a row of 2 F; without one, `up` is empty.
template <class T, Gelu kKind, bool kGated>
void forward_rows(const TensorView& x, const TensorView& y, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(y.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    const T* gate = x.as<T>() + t * x.row_stride;
    T* out = y.as<T>() + t * y.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      auto value = gelu_of<kKind>(d, load_some(d, gate + c, left, T(0))).value;
      if constexpr (kGated) {
        value = hn::Mul(value, load_some(d, gate + width + c, left, T(0)));
      }
      store_some(d, value, out + c, left);
    }
  }
}

template <class T, Gelu kKind, bool kGated>
void backward_rows(const TensorView& dy, const TensorView& x, const TensorView& dx,
                   std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(dy.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    const T* gate = x.as<T>() + t * x.row_stride;
    const T* grad = dy.as<T>() + t * dy.row_stride;
    T* dgate = dx.as<T>() + t * dx.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto dv = load_some(d, grad + c, left, T(0));
      const auto at = gelu_of<kKind>(d, load_some(d, gate + c, left, T(0)));
      if constexpr (kGated) {
        const auto up = load_some(d, gate + width + c, left, T(0));
        store_some(d, hn::Mul(hn::Mul(dv, up), at.slope), dgate + c, left);
        store_some(d, hn::Mul(dv, at.value), dgate + width + c, left);
      } else {
        store_some(d, hn::Mul(dv, at.slope), dgate + c, left);
      }
    }
  }
}

template <bool kGated>
void forward(Gelu kind, const TensorView& x, const TensorView& y, std::int64_t begin,
             std::int64_t end) {
  if (y.dtype == DType::kF64) {
    kind == Gelu::kTanh ? forward_rows<double, Gelu::kTanh, kGated>(x, y, begin, end)
                        : forward_rows<double, Gelu::kErf, kGated>(x, y, begin, end);
  } else {
    kind == Gelu::kTanh ? forward_rows<float, Gelu::kTanh, kGated>(x, y, begin, end)
                        : forward_rows<float, Gelu::kErf, kGated>(x, y, begin, end);
  }
}

template <bool kGated>
void backward(Gelu kind, const TensorView& dy, const TensorView& x, const TensorView& dx,
              std::int64_t begin, std::int64_t end) {
  if (dy.dtype == DType::kF64) {
    kind == Gelu::kTanh ? backward_rows<double, Gelu::kTanh, kGated>(dy, x, dx, begin, end)
                        : backward_rows<double, Gelu::kErf, kGated>(dy, x, dx, begin, end);
  } else {
    kind == Gelu::kTanh ? backward_rows<float, Gelu::kTanh, kGated>(dy, x, dx, begin, end)
                        : backward_rows<float, Gelu::kErf, kGated>(dy, x, dx, begin, end);
  }
}

void plain_forward(Gelu kind, const TensorView& x, const TensorView& y, std::int64_t begin,
                   std::int64_t end) {
  forward<false>(kind, x, y, begin, end);
}

void gated_forward(Gelu kind, const TensorView& x, const TensorView& y, std::int64_t begin,
                   std::int64_t end) {
  forward<true>(kind, x, y, begin, end);
}

void plain_backward(Gelu kind, const TensorView& dy, const TensorView& x, const TensorView& dx,
                    std::int64_t begin, std::int64_t end) {
  backward<false>(kind, dy, x, dx, begin, end);
}

void gated_backward(Gelu kind, const TensorView& dy, const TensorView& x, const TensorView& dx,
                    std::int64_t begin, std::int64_t end) {
  backward<true>(kind, dy, x, dx, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(plain_forward);
HWY_EXPORT(gated_forward);
HWY_EXPORT(plain_backward);
HWY_EXPORT(gated_backward);

namespace {
constexpr std::int64_t kGeluGrain = 4096;  // exponentials: a second thread pays sooner
}

void gelu_forward(const Stream& /*stream*/, Gelu kind, const TensorView& x, const TensorView& y) {
  ensure_isa();
  parallel_for(y.rows(), 1 + kGeluGrain / (y.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(plain_forward)(kind, x, y, begin, end);
               });
}

void gelu_backward(const Stream& /*stream*/, Gelu kind, const TensorView& dy, const TensorView& x,
                   const TensorView& dx) {
  ensure_isa();
  parallel_for(dy.rows(), 1 + kGeluGrain / (dy.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(plain_backward)(kind, dy, x, dx, begin, end);
               });
}

void geglu_forward(const Stream& /*stream*/, Gelu kind, const TensorView& gate_up,
                   const TensorView& y) {
  ensure_isa();
  parallel_for(y.rows(), 1 + kGeluGrain / (y.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(gated_forward)(kind, gate_up, y, begin, end);
               });
}

void geglu_backward(const Stream& /*stream*/, Gelu kind, const TensorView& dy,
                    const TensorView& gate_up, const TensorView& dgate_up) {
  ensure_isa();
  parallel_for(dy.rows(), 1 + kGeluGrain / (dy.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(gated_backward)(kind, dy, gate_up, dgate_up, begin, end);
               });
}

}  // namespace finescale::cpu
#endif
