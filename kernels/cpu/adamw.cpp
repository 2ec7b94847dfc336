// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/adamw-inl.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void update_range(const AdamwStep& step, const TensorView& w, const TensorView& g,
                  const TensorView& m, const TensorView& v, std::int64_t begin, std::int64_t end) {
  adamw_range(AdamwFactors<T>(step), w.as<T>() + begin, g.as<T>() + begin, m.as<T>() + begin,
              v.as<T>() + begin, static_cast<std::size_t>(end - begin));
}

void update(const AdamwStep& step, const TensorView& w, const TensorView& g, const TensorView& m,
            const TensorView& v, std::int64_t begin, std::int64_t end) {
  w.dtype == DType::kF64 ? update_range<double>(step, w, g, m, v, begin, end)
                         : update_range<float>(step, w, g, m, v, begin, end);
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
