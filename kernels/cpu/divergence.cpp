// SPDX-License-Identifier: Apache-2.0
#include "kernels/divergence.h"

#include <cmath>
#include <cstdint>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/divergence.cpp"
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
T largest(const T* row, std::size_t width) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const T lowest = std::numeric_limits<T>::lowest();
  auto top = hn::Set(d, lowest);
  for (std::size_t c = 0; c < width; c += lanes) {
    top = hn::Max(top, load_some(d, row + c, width - c, lowest));
  }
  return hn::GetLane(hn::MaxOfLanes(d, top));
}

template <class T>
void statistics_row(const DivergenceRule& rule, const T* z, const T* u, std::size_t width,
                    std::int32_t label, T* out) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const T lowest = std::numeric_limits<T>::lowest();  // no infinity: differences are taken
  out[0] = largest(z, width);
  out[2] = label >= 0 && static_cast<std::size_t>(label) < width ? z[label] : T(0);
  out[4] = largest(u, width);
  const auto cold = hn::Set(d, static_cast<T>(1 / rule.temperature));
  const auto top = hn::Set(d, out[0]);
  const auto teacher_top = hn::Set(d, out[4]);
  auto plain = hn::Zero(d);
  auto sum = hn::Zero(d);
  auto teacher_sum = hn::Zero(d);
  auto mixed = hn::Zero(d);
  for (std::size_t c = 0; c < width; c += lanes) {
    const auto off = hn::Sub(load_some(d, z + c, width - c, lowest), top);
    const auto teacher_off = hn::Sub(load_some(d, u + c, width - c, lowest), teacher_top);
    const auto p = vector_exp(d, hn::Mul(off, cold));
    const auto q = vector_exp(d, hn::Mul(teacher_off, cold));
    plain = hn::Add(plain, vector_exp(d, off));
    sum = hn::Add(sum, p);
    teacher_sum = hn::Add(teacher_sum, q);
    const auto difference = hn::Mul(hn::Sub(teacher_off, off), cold);
    // Behind the row both exponents are the lowest number: zero times what may overflow.
    const auto addend = rule.is_reversed ? hn::Neg(hn::Mul(p, difference)) : hn::Mul(q, difference);
    mixed = hn::Add(mixed, hn::IfThenElseZero(hn::Gt(hn::Add(p, q), hn::Zero(d)), addend));
  }
  out[1] = hn::GetLane(hn::SumOfLanes(d, plain));
  out[3] = hn::GetLane(hn::SumOfLanes(d, sum));
  out[5] = hn::GetLane(hn::SumOfLanes(d, teacher_sum));
  out[6] = hn::GetLane(hn::SumOfLanes(d, mixed));
}

// z becomes step (weight temperature (p - q) + (1 - weight) softmax(z)), reversed step (weight
// temperature p (log p - log q - KL) + ...); the label's part follows.
template <class T>
void gradient_row(const DivergenceRule& rule, T* z, const T* u, std::size_t width, const T* s,
                  T divergence, T step) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto cold = hn::Set(d, static_cast<T>(1 / rule.temperature));
  const auto top = hn::Set(d, s[0]);
  const auto teacher_top = hn::Set(d, s[4]);
  const auto share = hn::Set(d, T(1) / s[3]);
  const auto teacher_share = hn::Set(d, T(1) / s[5]);
  const auto of_divergence = hn::Set(d, step * static_cast<T>(rule.weight * rule.temperature));
  const auto of_label = hn::Set(d, step * static_cast<T>(1 - rule.weight) / s[1]);
  // log p - log q - KL = (off - teacher_off) / temperature + this
  const auto constant = hn::Set(d, std::log(s[5]) - std::log(s[3]) - divergence);
  for (std::size_t c = 0; c < width; c += lanes) {
    const auto off = hn::Sub(load_some(d, z + c, width - c, s[0]), top);
    const auto teacher_off = hn::Sub(load_some(d, u + c, width - c, s[4]), teacher_top);
    const auto p = hn::Mul(vector_exp(d, hn::Mul(off, cold)), share);
    auto slope = hn::Zero(d);
    if (rule.is_reversed) {
      slope = hn::Mul(p, hn::MulAdd(hn::Sub(off, teacher_off), cold, constant));
    } else {
      slope = hn::Sub(p, hn::Mul(vector_exp(d, hn::Mul(teacher_off, cold)), teacher_share));
    }
    auto out = hn::Mul(slope, of_divergence);
    if (rule.weight < 1) {
      out = hn::MulAdd(vector_exp(d, off), of_label, out);
    }
    store_some(d, out, z + c, width - c);
  }
}

template <class T>
void statistics_rows(const DivergenceRule& rule, const TensorView& logits,
                     const TensorView& teacher, const TensorView& labels,
                     const TensorView& statistics, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    statistics_row(rule, logits.as<T>() + r * logits.row_stride,
                   teacher.as<T>() + r * teacher.row_stride,
                   static_cast<std::size_t>(logits.cols()), labels.as<std::int32_t>()[r],
                   statistics.as<T>() + kDivergenceStatistics * r);
  }
}

template <class T>
void finish_rows(const DivergenceRule& rule, const TensorView& logits, const TensorView& teacher,
                 const TensorView& labels, const TensorView& weights, double scale,
                 const TensorView& statistics, const TensorView& losses, bool want_gradient,
                 std::int64_t begin, std::int64_t end) {
  const T temperature = static_cast<T>(rule.temperature);
  const T share = static_cast<T>(rule.weight);
  for (std::int64_t r = begin; r < end; ++r) {
    const T* s = statistics.as<T>() + kDivergenceStatistics * r;
    const T logs = std::log(s[3]) - std::log(s[5]);
    const T divergence = rule.is_reversed ? s[6] / s[3] - logs : s[6] / s[5] + logs;
    const T likelihood = std::log(s[1]) + s[0] - s[2];
    const T weight = weights.empty() ? T(1) : weights.as<T>()[r];
    losses.as<T>()[r] = weight * (share * temperature * temperature * divergence +
                                  (share < 1 ? (1 - share) * likelihood : T(0)));
    if (!want_gradient) {
      continue;
    }
    T* row = logits.as<T>() + r * logits.row_stride;
    const T step = weight * static_cast<T>(scale);
    gradient_row(rule, row, teacher.as<T>() + r * teacher.row_stride,
                 static_cast<std::size_t>(logits.cols()), s, divergence, step);
    const std::int32_t label = labels.as<std::int32_t>()[r];
    if (label >= 0 && label < logits.cols()) {
      row[label] -= step * (1 - share);
    }
  }
}

void statistics_of(const DivergenceRule& rule, const TensorView& logits, const TensorView& teacher,
                   const TensorView& labels, const TensorView& statistics, std::int64_t begin,
                   std::int64_t end) {
  logits.dtype == DType::kF64
      ? statistics_rows<double>(rule, logits, teacher, labels, statistics, begin, end)
      : statistics_rows<float>(rule, logits, teacher, labels, statistics, begin, end);
}

void finish_of(const DivergenceRule& rule, const TensorView& logits, const TensorView& teacher,
               const TensorView& labels, const TensorView& weights, double scale,
               const TensorView& statistics, const TensorView& losses, bool want_gradient,
               std::int64_t begin, std::int64_t end) {
  logits.dtype == DType::kF64 ? finish_rows<double>(rule, logits, teacher, labels, weights, scale,
                                                    statistics, losses, want_gradient, begin, end)
                              : finish_rows<float>(rule, logits, teacher, labels, weights, scale,
                                                   statistics, losses, want_gradient, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(statistics_of);
HWY_EXPORT(finish_of);

void divergence_statistics(const Stream& /*stream*/, const DivergenceRule& rule,
                           const TensorView& logits, const TensorView& teacher,
                           const TensorView& labels, const TensorView& statistics) {
  ensure_isa();
  parallel_for(logits.rows(), 1 + 4096 / (logits.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(statistics_of)
                 (rule, logits, teacher, labels, statistics, begin, end);
               });
}

void divergence_finish(const Stream& /*stream*/, const DivergenceRule& rule,
                       const TensorView& logits, const TensorView& teacher,
                       const TensorView& labels, const TensorView& weights, double scale,
                       const TensorView& statistics, const TensorView& losses, bool want_gradient) {
  ensure_isa();
  parallel_for(logits.rows(), 1 + 4096 / (logits.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(finish_of)
                 (rule, logits, teacher, labels, weights, scale, statistics, losses, want_gradient,
                  begin, end);
               });
}

}  // namespace finescale::cpu
#endif
