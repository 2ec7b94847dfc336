// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/swiglu.cpp"
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

template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  return hn::Div(hn::Set(d, 1), hn::Add(hn::Set(d, 1), vector_exp(d, hn::Neg(x))));
}

template <class T>
void forward_rows(const TensorView& gate_up, const TensorView& y, std::int64_t begin,
                  std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = static_cast<std::size_t>(y.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    const T* gate = gate_up.as<T>() + t * gate_up.row_stride;
    const T* up = gate + width;
    T* out = y.as<T>() + t * y.row_stride;
    for (std::size_t c = 0; c < width; c += lanes) {
      const auto g = load_some(d, gate + c, width - c, T(0));
      const auto u = load_some(d, up + c, width - c, T(0));
      store_some(d, hn::Mul(hn::Mul(g, sigmoid(d, g)), u), out + c, width - c);
    }
  }
}

// With s = sigmoid(g): dgate = dy u s (1 + g (1 - s)), dup = dy g s.
template <class T>
void backward_rows(const TensorView& dy, const TensorView& gate_up, const TensorView& dgate_up,
                   const TensorView& y, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = static_cast<std::size_t>(dy.cols());
  const auto one = hn::Set(d, T(1));
  for (std::int64_t t = begin; t < end; ++t) {
    const T* gate = gate_up.as<T>() + t * gate_up.row_stride;
    const T* up = gate + width;
    const T* grad = dy.as<T>() + t * dy.row_stride;
    T* dgate = dgate_up.as<T>() + t * dgate_up.row_stride;
    T* dup = dgate + width;
    for (std::size_t c = 0; c < width; c += lanes) {
      const std::size_t left = width - c;
      const auto g = load_some(d, gate + c, left, T(0));
      const auto u = load_some(d, up + c, left, T(0));
      const auto dv = load_some(d, grad + c, left, T(0));
      const auto s = sigmoid(d, g);
      const auto silu = hn::Mul(g, s);
      if (!y.empty()) {
        store_some(d, hn::Mul(silu, u), y.as<T>() + t * y.row_stride + c, left);
      }
      const auto slope = hn::Mul(s, hn::MulAdd(g, hn::Sub(one, s), one));
      store_some(d, hn::Mul(hn::Mul(dv, u), slope), dgate + c, left);
      store_some(d, hn::Mul(dv, silu), dup + c, left);
    }
  }
}

void forward(const TensorView& gate_up, const TensorView& y, std::int64_t begin, std::int64_t end) {
  y.dtype == DType::kF64 ? forward_rows<double>(gate_up, y, begin, end)
                         : forward_rows<float>(gate_up, y, begin, end);
}

void backward(const TensorView& dy, const TensorView& gate_up, const TensorView& dgate_up,
              const TensorView& y, std::int64_t begin, std::int64_t end) {
  dy.dtype == DType::kF64 ? backward_rows<double>(dy, gate_up, dgate_up, y, begin, end)
                          : backward_rows<float>(dy, gate_up, dgate_up, y, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(forward);
HWY_EXPORT(backward);

void swiglu_forward(const Stream& /*stream*/, const TensorView& gate_up, const TensorView& y) {
  ensure_isa();
  parallel_for(y.rows(), 1 + 4096 / (y.cols() + 1), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward)(gate_up, y, begin, end);
  });
}

void swiglu_backward(const Stream& /*stream*/, const TensorView& dy, const TensorView& gate_up,
                     const TensorView& dgate_up, const TensorView& y) {
  ensure_isa();
  parallel_for(dy.rows(), 1 + 4096 / (dy.cols() + 1), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward)(dy, gate_up, dgate_up, y, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
