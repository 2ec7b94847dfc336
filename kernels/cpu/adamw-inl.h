// SPDX-License-Identifier: Apache-2.0
// The formula of AdamW on a range, for moments in full or from a block that was expanded. Included
// once per Highway target.
#if defined(FINESCALE_KERNELS_CPU_ADAMW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FINESCALE_KERNELS_CPU_ADAMW_INL_H_
#undef FINESCALE_KERNELS_CPU_ADAMW_INL_H_
#else
#define FINESCALE_KERNELS_CPU_ADAMW_INL_H_
#endif

#include <cmath>
#include <cstddef>

#include "kernels/adamw.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {

template <class T>
struct AdamwFactors {
  explicit AdamwFactors(const AdamwStep& step) {
    const StepFactors<double> factors = step_factors(step);
    scale = static_cast<T>(factors.scale);
    beta1 = static_cast<T>(step.beta1);
    rest1 = static_cast<T>(1 - step.beta1);
    beta2 = static_cast<T>(step.beta2);
    rest2 = static_cast<T>(1 - step.beta2);
    keep = static_cast<T>(factors.keep);
    rate = static_cast<T>(factors.rate);
    root = static_cast<T>(factors.root);
    eps = static_cast<T>(step.eps);
  }
  T scale, beta1, rest1, beta2, rest2, keep, rate, root, eps;
};

// m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr wd w; w -= lr / (1 - b1^t) m / (sqrt(v /
// (1 - b2^t)) + eps)
template <class T>
HWY_INLINE void adamw_range(const AdamwFactors<T>& k, T* w, const T* g, T* m, T* v,
                            std::size_t count) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, k.scale);
  const auto beta1 = hn::Set(d, k.beta1);
  const auto rest1 = hn::Set(d, k.rest1);
  const auto beta2 = hn::Set(d, k.beta2);
  const auto rest2 = hn::Set(d, k.rest2);
  const auto keep = hn::Set(d, k.keep);
  const auto rate = hn::Set(d, k.rate);
  const auto root = hn::Set(d, k.root);
  const auto eps = hn::Set(d, k.eps);
  for (std::size_t i = 0; i < count; i += lanes) {
    const std::size_t left = count - i;
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

}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
