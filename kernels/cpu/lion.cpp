// SPDX-License-Identifier: Apache-2.0
#include "kernels/lion.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lion.cpp"
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

template <class T>
void update_range(const LionStep& step, const TensorView& w, const TensorView& g,
                  const TensorView& m, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, static_cast<T>(step.gradient_scale));
  const auto beta1 = hn::Set(d, static_cast<T>(step.beta1));
  const auto rest1 = hn::Set(d, static_cast<T>(1 - step.beta1));
  const auto beta2 = hn::Set(d, static_cast<T>(step.beta2));
  const auto rest2 = hn::Set(d, static_cast<T>(1 - step.beta2));
  const auto keep = hn::Set(d, static_cast<T>(1 - step.learning_rate * step.weight_decay));
  const auto rate = hn::Set(d, static_cast<T>(step.learning_rate));
  const auto zero = hn::Zero(d);
  for (std::int64_t i = begin; i < end; i += lanes) {
    const auto left = static_cast<std::size_t>(end - i);
    const auto grad = hn::Mul(load_some(d, g.as<T>() + i, left, T(0)), scale);
    const auto mi = load_some(d, m.as<T>() + i, left, T(0));
    const auto mixed = hn::MulAdd(beta1, mi, hn::Mul(rest1, grad));
    const auto change = hn::IfThenElse(hn::Eq(mixed, zero), zero, hn::CopySign(rate, mixed));
    const auto weight = hn::Mul(load_some(d, w.as<T>() + i, left, T(0)), keep);
    store_some(d, hn::MulAdd(beta2, mi, hn::Mul(rest2, grad)), m.as<T>() + i, left);
    store_some(d, hn::Sub(weight, change), w.as<T>() + i, left);
  }
}

void update(const LionStep& step, const TensorView& w, const TensorView& g, const TensorView& m,
            std::int64_t begin, std::int64_t end) {
  w.dtype == DType::kF64 ? update_range<double>(step, w, g, m, begin, end)
                         : update_range<float>(step, w, g, m, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(update);

void lion_update(const Stream& /*stream*/, const LionStep& step, const TensorView& weight,
                 const TensorView& gradient, const TensorView& m) {
  ensure_isa();
  parallel_for(weight.num_elements(), 8192, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(update)(step, weight, gradient, m, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
