// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy when the vocabulary is cut over ranks: what a rank tells the others about
// its logits, and what it does with their answer.
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cross_entropy.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_part.cpp"
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

// out: largest logit, sum of exp(logit - largest), logit of the label (0: not in this part).
template <class T>
void statistics_row(T* row, std::size_t width, std::int32_t label, T* out, bool keep_exp) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const T lowest = -std::numeric_limits<T>::infinity();
  auto top = hn::Set(d, lowest);
  for (std::size_t c = 0; c < width; c += lanes) {
    top = hn::Max(top, load_some(d, row + c, width - c, lowest));
  }
  out[0] = hn::GetLane(hn::MaxOfLanes(d, top));
  out[2] = label >= 0 && static_cast<std::size_t>(label) < width ? row[label] : T(0);
  const auto shift = hn::Set(d, out[0]);
  auto sum = hn::Zero(d);
  for (std::size_t c = 0; c < width; c += lanes) {
    const auto e = vector_exp(d, hn::Sub(load_some(d, row + c, width - c, lowest), shift));
    sum = hn::Add(sum, e);
    if (keep_exp) {
      store_some(d, e, row + c, width - c);
    }
  }
  out[1] = hn::GetLane(hn::SumOfLanes(d, sum));
}

template <class T>
void scale_row(T* row, std::size_t width, T scale) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, scale);
  for (std::size_t c = 0; c < width; c += lanes) {
    store_some(d, hn::Mul(load_some(d, row + c, width - c, T(0)), factor), row + c, width - c);
  }
}

template <class T>
void statistics_rows(const TensorView& logits, const TensorView& labels,
                     const TensorView& statistics, bool want_gradient, std::int64_t begin,
                     std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    statistics_row(logits.as<T>() + r * logits.row_stride, static_cast<std::size_t>(logits.cols()),
                   labels.as<std::int32_t>()[r], statistics.as<T>() + 3 * r, want_gradient);
  }
}

template <class T>
void finish_rows(const TensorView& logits, const TensorView& labels, const TensorView& weights,
                 double scale, const TensorView& own, const TensorView& whole,
                 const TensorView& losses, bool want_gradient, std::int64_t begin,
                 std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const T* mine = own.as<T>() + 3 * r;
    const T* all = whole.as<T>() + 3 * r;
    const T weight = weights.empty() ? T(1) : weights.as<T>()[r];
    losses.as<T>()[r] = weight * (std::log(all[1]) + all[0] - all[2]);
    if (want_gradient) {
      T* row = logits.as<T>() + r * logits.row_stride;
      const T step = weight * static_cast<T>(scale);
      scale_row(row, static_cast<std::size_t>(logits.cols()),
                step * std::exp(mine[0] - all[0]) / all[1]);
      const std::int32_t label = labels.as<std::int32_t>()[r];
      if (label >= 0 && label < logits.cols()) {
        row[label] -= step;
      }
    }
  }
}

void statistics(const TensorView& logits, const TensorView& labels, const TensorView& out,
                bool want_gradient, std::int64_t begin, std::int64_t end) {
  logits.dtype == DType::kF64
      ? statistics_rows<double>(logits, labels, out, want_gradient, begin, end)
      : statistics_rows<float>(logits, labels, out, want_gradient, begin, end);
}

void finish(const TensorView& logits, const TensorView& labels, const TensorView& weights,
            double scale, const TensorView& own, const TensorView& whole, const TensorView& losses,
            bool want_gradient, std::int64_t begin, std::int64_t end) {
  logits.dtype == DType::kF64 ? finish_rows<double>(logits, labels, weights, scale, own, whole,
                                                    losses, want_gradient, begin, end)
                              : finish_rows<float>(logits, labels, weights, scale, own, whole,
                                                   losses, want_gradient, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(statistics);
HWY_EXPORT(finish);

void cross_entropy_statistics(const Stream& /*stream*/, const TensorView& logits,
                              const TensorView& labels, const TensorView& statistics,
                              bool want_gradient) {
  ensure_isa();
  parallel_for(logits.rows(), 1 + 4096 / (logits.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(statistics)
                 (logits, labels, statistics, want_gradient, begin, end);
               });
}

void cross_entropy_finish(const Stream& /*stream*/, const TensorView& logits,
                          const TensorView& labels, const TensorView& weights, double scale,
                          const TensorView& own, const TensorView& whole, const TensorView& losses,
                          const TensorView& gradient) {
  ensure_isa();
  parallel_for(
      logits.rows(), 1 + 4096 / (logits.cols() + 1), [&](std::int64_t begin, std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(finish)
        (logits, labels, weights, scale, own, whole, losses, !gradient.empty(), begin, end);
      });
}

}  // namespace finescale::cpu
#endif
