// SPDX-License-Identifier: Apache-2.0
// Products of one head are the vendor library's; what lies between them goes row by row. P is small
// beside the segments, so a head's [T, P] are made whole.
#include "kernels/prefix_attention.h"

#include <cmath>
#include <cstdint>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/prefix_attention.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

#ifndef FINESCALE_PREFIX_ATTENTION_TASK
#define FINESCALE_PREFIX_ATTENTION_TASK
namespace finescale::cpu {

// One head: columns of the matrices of all.
struct PrefixHead {
  double scale = 1;
  TensorView scores;  // [T, P]
  TensorView other;   // [T, P]: gradients of the weights; backward only
  TensorView out;     // [T, D]
  TensorView dout;    // [T, D]
  TensorView lse;     // [T, 1]
  TensorView delta;   // [T, 1]
};

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

template <class T>
T* row_of(const TensorView& x, std::int64_t row) {
  return x.as<T>() + row * x.row_stride;
}

// Scores become weights of the softmax over both; out of the segments alone is made smaller.
template <class T>
void join_rows(const PrefixHead& head, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto count = static_cast<std::size_t>(head.scores.cols());
  const auto width = static_cast<std::size_t>(head.out.cols());
  const T nothing = -std::numeric_limits<T>::infinity();
  for (std::int64_t t = begin; t < end; ++t) {
    T* const scores = row_of<T>(head.scores, t);
    T& lse = *row_of<T>(head.lse, t);
    auto tops = hn::Set(d, lse);
    for (std::size_t p = 0; p < count; p += lanes) {
      tops = hn::Max(tops, load_some(d, scores + p, count - p, nothing));
    }
    const T top = hn::GetLane(hn::MaxOfLanes(d, tops));
    auto sums = hn::Zero(d);
    for (std::size_t p = 0; p < count; p += lanes) {
      const auto weight =
          vector_exp(d, hn::Sub(load_some(d, scores + p, count - p, nothing), hn::Set(d, top)));
      store_some(d, weight, scores + p, count - p);
      sums = hn::Add(sums, weight);
    }
    const T own = std::exp(lse - top);
    const T sum = hn::GetLane(hn::SumOfLanes(d, sums)) + own;
    const auto by = hn::Set(d, 1 / sum);
    for (std::size_t p = 0; p < count; p += lanes) {
      store_some(d, hn::Mul(load_some(d, scores + p, count - p, T(0)), by), scores + p, count - p);
    }
    const auto rest = hn::Set(d, own / sum);
    T* const out = row_of<T>(head.out, t);
    for (std::size_t c = 0; c < width; c += lanes) {
      store_some(d, hn::Mul(load_some(d, out + c, width - c, T(0)), rest), out + c, width - c);
    }
    lse = top + std::log(sum);
  }
}

// Scores become weights p, their gradients dp become those of the scores, p (dp - delta) scale.
template <class T>
void gradient_rows(const PrefixHead& head, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto count = static_cast<std::size_t>(head.scores.cols());
  const auto scale = hn::Set(d, static_cast<T>(head.scale));
  for (std::int64_t t = begin; t < end; ++t) {
    T* const scores = row_of<T>(head.scores, t);
    T* const gradients = row_of<T>(head.other, t);
    const auto lse = hn::Set(d, *row_of<T>(head.lse, t));
    const auto delta = hn::Set(d, *row_of<T>(head.delta, t));
    for (std::size_t p = 0; p < count; p += lanes) {
      const std::size_t left = count - p;
      const auto weight = vector_exp(d, hn::Sub(load_some(d, scores + p, left, T(0)), lse));
      const auto dp = load_some(d, gradients + p, left, T(0));
      store_some(d, weight, scores + p, left);
      store_some(d, hn::Mul(hn::Mul(weight, scale), hn::Sub(dp, delta)), gradients + p, left);
    }
  }
}

template <class T>
void delta_rows(const PrefixHead& head, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto width = static_cast<std::size_t>(head.out.cols());
  for (std::int64_t t = begin; t < end; ++t) {
    const T* const out = row_of<T>(head.out, t);
    const T* const dout = row_of<T>(head.dout, t);
    auto sums = hn::Zero(d);
    for (std::size_t c = 0; c < width; c += lanes) {
      sums = hn::MulAdd(load_some(d, out + c, width - c, T(0)),
                        load_some(d, dout + c, width - c, T(0)), sums);
    }
    *row_of<T>(head.delta, t) = hn::GetLane(hn::SumOfLanes(d, sums));
  }
}

void join(const PrefixHead& head, std::int64_t begin, std::int64_t end) {
  head.out.dtype == DType::kF64 ? join_rows<double>(head, begin, end)
                                : join_rows<float>(head, begin, end);
}

void gradients_of_scores(const PrefixHead& head, std::int64_t begin, std::int64_t end) {
  head.scores.dtype == DType::kF64 ? gradient_rows<double>(head, begin, end)
                                   : gradient_rows<float>(head, begin, end);
}

void deltas(const PrefixHead& head, std::int64_t begin, std::int64_t end) {
  head.out.dtype == DType::kF64 ? delta_rows<double>(head, begin, end)
                                : delta_rows<float>(head, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(join);
HWY_EXPORT(gradients_of_scores);
HWY_EXPORT(deltas);

namespace {

constexpr std::int64_t kRows = 64;  // of a piece of work

// Columns of a query head, and of the key head that it reads.
struct HeadColumns {
  std::int64_t begin, end, key_begin, key_end;
};

HeadColumns columns_of(const AttentionShape& shape, int head) {
  const std::int64_t width = shape.head_dim;
  const std::int64_t key = head / (shape.num_heads / shape.num_kv_heads);
  return {head * width, (head + 1) * width, key * width, (key + 1) * width};
}

}  // namespace

void prefix_attention_forward(const Stream& stream, const AttentionShape& shape,
                              const TensorView& q, const TensorView& k, const TensorView& v,
                              const TensorView& scores, const TensorView& out,
                              const TensorView& lse) {
  ensure_isa();
  const Stream exact = stream.with_products(Products::kF32);
  for (int head = 0; head < shape.num_heads; ++head) {
    const HeadColumns at = columns_of(shape, head);
    PrefixHead task;
    task.scores = scores;
    task.out = out.columns(at.begin, at.end);
    task.lse = lse.columns(head, head + 1);
    cpu::gemm(exact, Transpose::kNo, Transpose::kYes, shape.scale, q.columns(at.begin, at.end),
              k.columns(at.key_begin, at.key_end), 0, scores);
    parallel_for(q.rows(), kRows, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(join)(task, begin, end);
    });
    cpu::gemm(exact, Transpose::kNo, Transpose::kNo, 1, scores, v.columns(at.key_begin, at.key_end),
              1, task.out);
  }
}

void attention_delta(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& dout,
                     const TensorView& out, const TensorView& delta) {
  ensure_isa();
  for (int head = 0; head < shape.num_heads; ++head) {
    const HeadColumns at = columns_of(shape, head);
    PrefixHead task;
    task.out = out.columns(at.begin, at.end);
    task.dout = dout.columns(at.begin, at.end);
    task.delta = delta.columns(head, head + 1);
    parallel_for(dout.rows(), kRows, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(deltas)(task, begin, end);
    });
  }
}

void prefix_attention_backward(const Stream& stream, const AttentionShape& shape,
                               const TensorView& dout, const TensorView& q, const TensorView& k,
                               const TensorView& v, const TensorView& lse, const TensorView& delta,
                               const TensorView& weights, const TensorView& dweights,
                               const PrefixGradients& gradients) {
  ensure_isa();
  const Stream exact = stream.with_products(Products::kF32);
  for (int head = 0; head < shape.num_heads; ++head) {
    const HeadColumns at = columns_of(shape, head);
    const TensorView keys = k.columns(at.key_begin, at.key_end);
    const TensorView queries = q.columns(at.begin, at.end);
    const TensorView dhead = dout.columns(at.begin, at.end);
    cpu::gemm(exact, Transpose::kNo, Transpose::kYes, shape.scale, queries, keys, 0, weights);
    cpu::gemm(exact, Transpose::kNo, Transpose::kYes, 1, dhead, v.columns(at.key_begin, at.key_end),
              0, dweights);
    PrefixHead task;
    task.scale = shape.scale;
    task.scores = weights;
    task.other = dweights;
    task.lse = lse.columns(head, head + 1);
    task.delta = delta.columns(head, head + 1);
    parallel_for(q.rows(), kRows, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(gradients_of_scores)(task, begin, end);
    });
    cpu::gemm(exact, Transpose::kYes, Transpose::kNo, 1, weights, dhead, 1,
              gradients.dv.columns(at.key_begin, at.key_end));
    cpu::gemm(exact, Transpose::kYes, Transpose::kNo, 1, dweights, queries, 1,
              gradients.dk.columns(at.key_begin, at.key_end));
    if (!gradients.dq.empty()) {
      cpu::gemm(exact, Transpose::kNo, Transpose::kNo, 1, dweights, keys, 1,
                gradients.dq.columns(at.begin, at.end));
    }
  }
}

}  // namespace finescale::cpu
#endif
