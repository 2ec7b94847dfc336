// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include <cmath>
#include <cstdint>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax.cpp"
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

// One row: loss = weight (logsumexp - logit[label]); logits become scale weight (softmax - onehot)
// when wanted.
template <class T>
T softmax_row(T* row, std::size_t width, std::int32_t label, T weight, T scale,
              bool want_gradient) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const T lowest = -std::numeric_limits<T>::infinity();
  // Four chains: a maximum takes as long as four of them.
  auto top = hn::Set(d, lowest);
  auto top1 = top, top2 = top, top3 = top;
  std::size_t begin = 0;
  for (; begin + 4 * lanes <= width; begin += 4 * lanes) {
    top = hn::Max(top, hn::LoadU(d, row + begin));
    top1 = hn::Max(top1, hn::LoadU(d, row + begin + lanes));
    top2 = hn::Max(top2, hn::LoadU(d, row + begin + 2 * lanes));
    top3 = hn::Max(top3, hn::LoadU(d, row + begin + 3 * lanes));
  }
  for (; begin < width; begin += lanes) {
    top = hn::Max(top, load_some(d, row + begin, width - begin, lowest));
  }
  const T max = hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(top, top1), hn::Max(top2, top3))));
  const T target = row[label];
  const auto shift = hn::Set(d, max);
  auto sum = hn::Zero(d);
  for (std::size_t c = 0; c < width; c += lanes) {
    const auto e = vector_exp(d, hn::Sub(load_some(d, row + c, width - c, lowest), shift));
    sum = hn::Add(sum, e);
    if (want_gradient) {
      store_some(d, e, row + c, width - c);
    }
  }
  const T total = hn::GetLane(hn::SumOfLanes(d, sum));
  if (want_gradient) {
    const auto factor = hn::Set(d, weight * scale / total);
    for (std::size_t c = 0; c < width; c += lanes) {
      store_some(d, hn::Mul(load_some(d, row + c, width - c, T(0)), factor), row + c, width - c);
    }
    row[label] -= weight * scale;
  }
  return weight * (std::log(total) + max - target);
}

template <class T>
void softmax_rows(const TensorView& logits, const TensorView& labels, const TensorView& weights,
                  double scale, const TensorView& losses, bool want_gradient, std::int64_t begin,
                  std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    losses.as<T>()[r] =
        softmax_row(logits.as<T>() + r * logits.row_stride, static_cast<std::size_t>(logits.cols()),
                    labels.as<std::int32_t>()[r], weights.empty() ? T(1) : weights.as<T>()[r],
                    static_cast<T>(scale), want_gradient);
  }
}

void softmax_loss(const TensorView& logits, const TensorView& labels, const TensorView& weights,
                  double scale, const TensorView& losses, bool want_gradient, std::int64_t begin,
                  std::int64_t end) {
  logits.dtype == DType::kF64
      ? softmax_rows<double>(logits, labels, weights, scale, losses, want_gradient, begin, end)
      : softmax_rows<float>(logits, labels, weights, scale, losses, want_gradient, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(softmax_loss);

void cross_entropy_in_place(const Stream& /*stream*/, const TensorView& logits,
                            const TensorView& labels, const TensorView& weights, double scale,
                            const TensorView& losses, const TensorView& gradient) {
  ensure_isa();
  parallel_for(logits.rows(), 1 + 4096 / (logits.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(softmax_loss)
                 (logits, labels, weights, scale, losses, !gradient.empty(), begin, end);
               });
}

}  // namespace finescale::cpu
#endif
