// SPDX-License-Identifier: Apache-2.0
#include "kernels/sgd.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sgd.cpp"
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
void update_range(const SgdStep& step, const TensorView& w, const TensorView& g,
                  const TensorView& m, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, static_cast<T>(step.gradient_scale));
  const auto momentum = hn::Set(d, static_cast<T>(step.momentum));
  const auto keep = hn::Set(d, static_cast<T>(1 - step.learning_rate * step.weight_decay));
  const auto rate = hn::Set(d, static_cast<T>(-step.learning_rate));
  for (std::int64_t i = begin; i < end; i += lanes) {
    const auto left = static_cast<std::size_t>(end - i);
    auto change = hn::Mul(load_some(d, g.as<T>() + i, left, T(0)), scale);
    if (step.momentum > 0) {
      const auto mi = hn::MulAdd(momentum, load_some(d, m.as<T>() + i, left, T(0)), change);
      store_some(d, mi, m.as<T>() + i, left);
      change = step.nesterov ? hn::MulAdd(momentum, mi, change) : mi;
    }
    const auto weight = hn::Mul(load_some(d, w.as<T>() + i, left, T(0)), keep);
    store_some(d, hn::MulAdd(rate, change, weight), w.as<T>() + i, left);
  }
}

void update(const SgdStep& step, const TensorView& w, const TensorView& g, const TensorView& m,
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

void sgd_update(const Stream& /*stream*/, const SgdStep& step, const TensorView& weight,
                const TensorView& gradient, const TensorView& m) {
  ensure_isa();
  parallel_for(weight.num_elements(), 8192, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(update)(step, weight, gradient, m, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
