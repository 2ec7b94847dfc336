// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include <cmath>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cpp"
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

// m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr wd w; w -= lr / (1 - b1^t) m / (sqrt(v /
// (1 - b2^t)) + eps)
template <class T>
void update_range(const AdamwStep& step, T* w, const T* g, T* m, T* v, std::size_t begin,
                  std::size_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  const auto scale = hn::Set(d, static_cast<T>(step.gradient_scale));
  const auto beta1 = hn::Set(d, static_cast<T>(step.beta1));
  const auto rest1 = hn::Set(d, static_cast<T>(1 - step.beta1));
  const auto beta2 = hn::Set(d, static_cast<T>(step.beta2));
  const auto rest2 = hn::Set(d, static_cast<T>(1 - step.beta2));
  const auto keep = hn::Set(d, static_cast<T>(1 - step.learning_rate * step.weight_decay));
  const auto rate = hn::Set(d, static_cast<T>(-step.learning_rate / correction1));
  const auto root = hn::Set(d, static_cast<T>(1 / std::sqrt(correction2)));
  const auto eps = hn::Set(d, static_cast<T>(step.eps));
  for (std::size_t i = begin; i < end; i += lanes) {
    const std::size_t left = end - i;
    const auto grad = hn::Mul(load_some(d, g + i, left, T(0)), scale);
    const auto mi = hn::MulAdd(beta1, load_some(d, m + i, left, T(0)), hn::Mul(rest1, grad));
    const auto vi =
        hn::MulAdd(beta2, load_some(d, v + i, left, T(0)), hn::Mul(rest2, hn::Mul(grad, grad)));
    const auto denominator = hn::MulAdd(hn::Sqrt(vi), root, eps);
    const auto weight = hn::Mul(load_some(d, w + i, left, T(0)), keep);
    store_some(d, mi, m + i, left);
    store_some(d, vi, v + i, left);
    store_some(d, hn::MulAdd(rate, hn::Div(mi, denominator), weight), w + i, left);
  }
}

void update(const AdamwStep& step, const TensorView& w, const TensorView& g, const TensorView& m,
            const TensorView& v, std::int64_t begin, std::int64_t end) {
  const auto first = static_cast<std::size_t>(begin);
  const auto last = static_cast<std::size_t>(end);
  w.dtype == DType::kF64
      ? update_range(step, w.as<double>(), g.as<double>(), m.as<double>(), v.as<double>(), first,
                     last)
      : update_range(step, w.as<float>(), g.as<float>(), m.as<float>(), v.as<float>(), first, last);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(update);

void adamw_update(const Stream& /*stream*/, const AdamwStep& step, const TensorView& weight,
                  const TensorView& gradient, const TensorView& m, const TensorView& v) {
  ensure_isa();
  parallel_for(weight.num_elements(), 8192, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(update)(step, weight, gradient, m, v, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
