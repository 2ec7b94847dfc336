// SPDX-License-Identifier: Apache-2.0
// One task is one (segment, key/value head). Queries go in tiles of eight; scores of a tile against
// all visible keys are vectors over keys (keys lie transposed, so small heads fill the vectors
// too), values are vectors over the head. Letters: Q queries of a tile, N keys of a segment, D head
// width.
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

#ifndef FINESCALE_ATTENTION_TASK
#define FINESCALE_ATTENTION_TASK
namespace finescale::cpu {

// Everything a task reads and writes. Views are whole matrices; the task adds its offsets.
struct AttentionTask {
  const AttentionShape* shape = nullptr;
  TensorView q, k, v, out, lse;
  TensorView dout, dq, dk, dv;  // backward only
  std::int64_t begin = 0;       // segment
  std::int64_t end = 0;
  int kv_head = 0;
};

constexpr std::int64_t kQueryTile = 8;
constexpr std::int64_t kKeyPad = 16;  // the widest vector of f32

// Scratch of a thread, grown and kept: no allocation in the steady state.
template <class T>
struct AttentionScratch {
  std::vector<T> keys, values, scores, dscores, dkeys, dvalues, rows;
};

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

template <class T>
T* rows_of(const TensorView& x, std::int64_t row, std::int64_t column) {
  return x.as<T>() + row * x.row_stride + column;
}

// out[d][n] = x[n][d], n padded with zeros.
template <class T>
void transpose(const T* x, std::int64_t stride, std::int64_t count, std::int64_t padded,
               std::int64_t width, T* out) {
  for (std::int64_t d = 0; d < width; ++d) {
    T* row = out + d * padded;
    for (std::int64_t n = 0; n < count; ++n) {
      row[n] = x[n * stride + d];
    }
    std::fill(row + count, row + padded, T(0));
  }
}

// scores[i][n] = factor * sum_d q[i][d] kt[d][n] for eight rows (pointers in q) and n in [0,
// columns).
template <class T>
void tile_products(const T* const* q, const T* kt, std::int64_t padded, std::int64_t width,
                   std::int64_t columns, T factor, T* scores) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  for (std::int64_t n = 0; n < columns; n += lanes) {
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (std::int64_t c = 0; c < width; ++c) {
      const auto key = hn::LoadU(d, kt + c * padded + n);
      s0 = hn::MulAdd(hn::Set(d, q[0][c]), key, s0);
      s1 = hn::MulAdd(hn::Set(d, q[1][c]), key, s1);
      s2 = hn::MulAdd(hn::Set(d, q[2][c]), key, s2);
      s3 = hn::MulAdd(hn::Set(d, q[3][c]), key, s3);
      s4 = hn::MulAdd(hn::Set(d, q[4][c]), key, s4);
      s5 = hn::MulAdd(hn::Set(d, q[5][c]), key, s5);
      s6 = hn::MulAdd(hn::Set(d, q[6][c]), key, s6);
      s7 = hn::MulAdd(hn::Set(d, q[7][c]), key, s7);
    }
    hn::StoreU(hn::Mul(s0, f), d, scores + n);
    hn::StoreU(hn::Mul(s1, f), d, scores + padded + n);
    hn::StoreU(hn::Mul(s2, f), d, scores + 2 * padded + n);
    hn::StoreU(hn::Mul(s3, f), d, scores + 3 * padded + n);
    hn::StoreU(hn::Mul(s4, f), d, scores + 4 * padded + n);
    hn::StoreU(hn::Mul(s5, f), d, scores + 5 * padded + n);
    hn::StoreU(hn::Mul(s6, f), d, scores + 6 * padded + n);
    hn::StoreU(hn::Mul(s7, f), d, scores + 7 * padded + n);
  }
}

// out[i][d] (+)= sum_n p[i][n] v[n][d] for eight rows; v has a row stride; out rows are pointers,
// nullptr = unused row.
template <class T>
void tile_combine(const T* p, std::int64_t padded, std::int64_t columns, const T* v,
                  std::int64_t stride, std::int64_t width, T* const* out) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = 0; c < width; c += lanes) {
    const auto left = static_cast<std::size_t>(width - c);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (std::int64_t n = 0; n < columns; ++n) {
      const auto value = load_some(d, v + n * stride + c, left, T(0));
      const T* column = p + n;
      s0 = hn::MulAdd(hn::Set(d, column[0]), value, s0);
      s1 = hn::MulAdd(hn::Set(d, column[padded]), value, s1);
      s2 = hn::MulAdd(hn::Set(d, column[2 * padded]), value, s2);
      s3 = hn::MulAdd(hn::Set(d, column[3 * padded]), value, s3);
      s4 = hn::MulAdd(hn::Set(d, column[4 * padded]), value, s4);
      s5 = hn::MulAdd(hn::Set(d, column[5 * padded]), value, s5);
      s6 = hn::MulAdd(hn::Set(d, column[6 * padded]), value, s6);
      s7 = hn::MulAdd(hn::Set(d, column[7 * padded]), value, s7);
    }
    const auto store = [&](int row, auto sum) HWY_ATTR {
      if (out[row] != nullptr) {
        store_some(d, sum, out[row] + c, left);
      }
    };
    store(0, s0);
    store(1, s1);
    store(2, s2);
    store(3, s3);
    store(4, s4);
    store(5, s5);
    store(6, s6);
    store(7, s7);
  }
}

// sums[n][d] += sum_i p[i][n] rows[i][d] over eight rows; sums is dense [N, D].
template <class T>
void tile_scatter(const T* p, std::int64_t padded, std::int64_t columns, const T* const* rows,
                  std::int64_t width, T* sums) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = 0; c < width; c += lanes) {
    const auto left = static_cast<std::size_t>(width - c);
    const auto r0 = load_some(d, rows[0] + c, left, T(0));
    const auto r1 = load_some(d, rows[1] + c, left, T(0));
    const auto r2 = load_some(d, rows[2] + c, left, T(0));
    const auto r3 = load_some(d, rows[3] + c, left, T(0));
    const auto r4 = load_some(d, rows[4] + c, left, T(0));
    const auto r5 = load_some(d, rows[5] + c, left, T(0));
    const auto r6 = load_some(d, rows[6] + c, left, T(0));
    const auto r7 = load_some(d, rows[7] + c, left, T(0));
    for (std::int64_t n = 0; n < columns; ++n) {
      const T* column = p + n;
      T* to = sums + n * width + c;
      auto a = load_some(d, to, left, T(0));
      auto b = hn::Mul(hn::Set(d, column[4 * padded]), r4);
      a = hn::MulAdd(hn::Set(d, column[0]), r0, a);
      b = hn::MulAdd(hn::Set(d, column[5 * padded]), r5, b);
      a = hn::MulAdd(hn::Set(d, column[padded]), r1, a);
      b = hn::MulAdd(hn::Set(d, column[6 * padded]), r6, b);
      a = hn::MulAdd(hn::Set(d, column[2 * padded]), r2, a);
      b = hn::MulAdd(hn::Set(d, column[7 * padded]), r7, b);
      a = hn::MulAdd(hn::Set(d, column[3 * padded]), r3, a);
      store_some(d, hn::Add(a, b), to, left);
    }
  }
}

// Softmax of scores[0, count); entries in [count, columns) become zero. Returns log-sum-exp.
template <class T>
T softmax(T* scores, std::int64_t count, std::int64_t columns) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const T lowest = -std::numeric_limits<T>::infinity();
  std::fill(scores + count, scores + columns, lowest);
  auto top = hn::Set(d, lowest);
  for (std::int64_t n = 0; n < columns; n += lanes) {
    top = hn::Max(top, hn::LoadU(d, scores + n));
  }
  const auto max = hn::Set(d, hn::GetLane(hn::MaxOfLanes(d, top)));
  auto sum = hn::Zero(d);
  for (std::int64_t n = 0; n < columns; n += lanes) {
    const auto e = vector_exp(d, hn::Sub(hn::LoadU(d, scores + n), max));
    hn::StoreU(e, d, scores + n);
    sum = hn::Add(sum, e);
  }
  const T total = hn::GetLane(hn::SumOfLanes(d, sum));
  const auto factor = hn::Set(d, T(1) / total);
  for (std::int64_t n = 0; n < columns; n += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, scores + n), factor), d, scores + n);
  }
  return hn::GetLane(max) + std::log(total);
}

template <class T>
void forward_task(const AttentionTask& task) {
  thread_local AttentionScratch<T> scratch;
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t count = task.end - task.begin;
  const std::int64_t padded = (count + kKeyPad - 1) / kKeyPad * kKeyPad;
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  const T* k = rows_of<T>(task.k, task.begin, task.kv_head * width);
  const T* v = rows_of<T>(task.v, task.begin, task.kv_head * width);
  scratch.keys.resize(static_cast<std::size_t>(padded * width));
  scratch.scores.resize(static_cast<std::size_t>(padded * kQueryTile));
  scratch.rows.assign(static_cast<std::size_t>(width), T(0));
  transpose(k, task.k.row_stride, count, padded, width, scratch.keys.data());
  for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (std::int64_t first = 0; first < count; first += kQueryTile) {
      const std::int64_t rows = std::min(kQueryTile, count - first);
      const std::int64_t columns =
          std::min(padded, (first + rows + kKeyPad - 1) / kKeyPad * kKeyPad);
      const T* q[kQueryTile];
      T* out[kQueryTile];
      for (std::int64_t i = 0; i < kQueryTile; ++i) {
        const std::int64_t row = task.begin + first + i;
        q[i] = i < rows ? rows_of<T>(task.q, row, head * width) : scratch.rows.data();
        out[i] = i < rows ? rows_of<T>(task.out, row, head * width) : nullptr;
      }
      tile_products(q, scratch.keys.data(), padded, width, columns, static_cast<T>(shape.scale),
                    scratch.scores.data());
      for (std::int64_t i = 0; i < rows; ++i) {
        const T lse = softmax(scratch.scores.data() + i * padded, first + i + 1, columns);
        rows_of<T>(task.lse, task.begin + first + i, head)[0] = lse;
      }
      tile_combine(scratch.scores.data(), padded, first + rows, v, task.v.row_stride, width, out);
    }
  }
}

// p = exp(score - lse), 0 behind `count`; ds = p (dp - delta) scale.
template <class T>
void softmax_backward(T* scores, T* dp, std::int64_t count, std::int64_t columns, T lse, T delta,
                      T scale) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::fill(scores + count, scores + columns, -std::numeric_limits<T>::infinity());
  for (std::int64_t n = 0; n < columns; n += lanes) {
    const auto p = vector_exp(d, hn::Sub(hn::LoadU(d, scores + n), hn::Set(d, lse)));
    hn::StoreU(p, d, scores + n);
    const auto ds =
        hn::Mul(hn::Mul(p, hn::Sub(hn::LoadU(d, dp + n), hn::Set(d, delta))), hn::Set(d, scale));
    hn::StoreU(ds, d, dp + n);
  }
}

template <class T>
T dot(const T* a, const T* b, std::int64_t width) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  for (std::int64_t c = 0; c < width; c += lanes) {
    const auto left = static_cast<std::size_t>(width - c);
    sum = hn::MulAdd(load_some(d, a + c, left, T(0)), load_some(d, b + c, left, T(0)), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// One tile of eight queries of one head: scratch.keys and scratch.values hold K^T and V^T, dkeys
// and dvalues sums.
template <class T>
void backward_tile(const AttentionTask& task, std::int64_t head, std::int64_t first,
                   std::int64_t padded, AttentionScratch<T>& scratch) {
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t count = task.end - task.begin;
  const std::int64_t rows = std::min(kQueryTile, count - first);
  const std::int64_t columns = std::min(padded, (first + rows + kKeyPad - 1) / kKeyPad * kKeyPad);
  const T* q[kQueryTile];
  const T* dout[kQueryTile];
  T* dq[kQueryTile];
  for (std::int64_t i = 0; i < kQueryTile; ++i) {
    const std::int64_t row = task.begin + first + i;
    q[i] = i < rows ? rows_of<T>(task.q, row, head * width) : scratch.rows.data();
    dout[i] = i < rows ? rows_of<T>(task.dout, row, head * width) : scratch.rows.data();
    dq[i] = i < rows ? rows_of<T>(task.dq, row, head * width) : nullptr;
  }
  T* p = scratch.scores.data();
  T* ds = scratch.dscores.data();
  tile_products(q, scratch.keys.data(), padded, width, columns, static_cast<T>(shape.scale), p);
  tile_products(dout, scratch.values.data(), padded, width, columns, T(1), ds);
  for (std::int64_t i = 0; i < kQueryTile; ++i) {
    if (i >= rows) {
      std::fill(p + i * padded, p + i * padded + columns, T(0));
      std::fill(ds + i * padded, ds + i * padded + columns, T(0));
      continue;
    }
    const std::int64_t row = task.begin + first + i;
    const T delta = dot(dout[i], rows_of<T>(task.out, row, head * width), width);
    softmax_backward(p + i * padded, ds + i * padded, first + i + 1, columns,
                     rows_of<T>(task.lse, row, head)[0], delta, static_cast<T>(shape.scale));
  }
  const std::int64_t visible = first + rows;
  tile_combine(ds, padded, visible, rows_of<T>(task.k, task.begin, task.kv_head * width),
               task.k.row_stride, width, dq);
  tile_scatter(ds, padded, visible, q, width, scratch.dkeys.data());
  tile_scatter(p, padded, visible, dout, width, scratch.dvalues.data());
}

template <class T>
void backward_task(const AttentionTask& task) {
  thread_local AttentionScratch<T> scratch;
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t count = task.end - task.begin;
  const std::int64_t padded = (count + kKeyPad - 1) / kKeyPad * kKeyPad;
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  const std::int64_t column = task.kv_head * width;
  scratch.keys.resize(static_cast<std::size_t>(padded * width));
  scratch.values.resize(static_cast<std::size_t>(padded * width));
  scratch.scores.resize(static_cast<std::size_t>(padded * kQueryTile));
  scratch.dscores.resize(static_cast<std::size_t>(padded * kQueryTile));
  scratch.dkeys.assign(static_cast<std::size_t>(count * width), T(0));
  scratch.dvalues.assign(static_cast<std::size_t>(count * width), T(0));
  scratch.rows.assign(static_cast<std::size_t>(width), T(0));
  transpose(rows_of<T>(task.k, task.begin, column), task.k.row_stride, count, padded, width,
            scratch.keys.data());
  transpose(rows_of<T>(task.v, task.begin, column), task.v.row_stride, count, padded, width,
            scratch.values.data());
  for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (std::int64_t first = 0; first < count; first += kQueryTile) {
      backward_tile(task, head, first, padded, scratch);
    }
  }
  for (std::int64_t n = 0; n < count; ++n) {
    std::copy_n(scratch.dkeys.data() + n * width, width,
                rows_of<T>(task.dk, task.begin + n, column));
    std::copy_n(scratch.dvalues.data() + n * width, width,
                rows_of<T>(task.dv, task.begin + n, column));
  }
}

// The new token of sequence b against its cache: scores are dot products over the head.
template <class T>
void decode_head(const AttentionTask& task, std::int64_t sequence, std::int64_t head,
                 std::int64_t first, std::int64_t length) {
  thread_local AttentionScratch<T> scratch;
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t column = head / (shape.num_heads / shape.num_kv_heads) * width;
  const std::int64_t padded = (length + kKeyPad - 1) / kKeyPad * kKeyPad;
  scratch.scores.assign(static_cast<std::size_t>(padded * kQueryTile), T(0));
  const T* q = rows_of<T>(task.q, sequence, head * width);
  for (std::int64_t n = 0; n < length; ++n) {
    scratch.scores[static_cast<std::size_t>(n)] =
        dot(q, rows_of<T>(task.k, first + n, column), width) * static_cast<T>(shape.scale);
  }
  softmax(scratch.scores.data(), length, padded);
  T* out[kQueryTile] = {rows_of<T>(task.out, sequence, head * width)};
  tile_combine(scratch.scores.data(), padded, length, rows_of<T>(task.v, first, column),
               task.v.row_stride, width, out);
}

void forward(const AttentionTask& task) {
  task.q.dtype == DType::kF64 ? forward_task<double>(task) : forward_task<float>(task);
}

void backward(const AttentionTask& task) {
  task.q.dtype == DType::kF64 ? backward_task<double>(task) : backward_task<float>(task);
}

void decode(const AttentionTask& task, std::int64_t sequence, std::int64_t head, std::int64_t first,
            std::int64_t length) {
  task.q.dtype == DType::kF64 ? decode_head<double>(task, sequence, head, first, length)
                              : decode_head<float>(task, sequence, head, first, length);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(decode);

void attention_forward(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse) {
  ensure_isa();
  const std::int64_t kv_heads = shape.num_kv_heads;
  parallel_items((static_cast<std::int64_t>(segments.size()) - 1) * kv_heads,
                 [&](std::int64_t item) {
                   const auto segment = static_cast<std::size_t>(item / kv_heads);
                   AttentionTask task{.shape = &shape,
                                      .q = q,
                                      .k = k,
                                      .v = v,
                                      .out = out,
                                      .lse = lse,
                                      .dout = {},
                                      .dq = {},
                                      .dk = {},
                                      .dv = {},
                                      .begin = segments[segment],
                                      .end = segments[segment + 1],
                                      .kv_head = static_cast<int>(item % kv_heads)};
                   HWY_DYNAMIC_DISPATCH(forward)(task);
                 });
}

void attention_backward(const Stream& /*stream*/, const AttentionShape& shape,
                        const TensorView& dout, const TensorView& q, const TensorView& k,
                        const TensorView& v, const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv) {
  ensure_isa();
  const std::int64_t kv_heads = shape.num_kv_heads;
  parallel_items((static_cast<std::int64_t>(segments.size()) - 1) * kv_heads,
                 [&](std::int64_t item) {
                   const auto segment = static_cast<std::size_t>(item / kv_heads);
                   AttentionTask task{.shape = &shape,
                                      .q = q,
                                      .k = k,
                                      .v = v,
                                      .out = out,
                                      .lse = lse,
                                      .dout = dout,
                                      .dq = dq,
                                      .dk = dk,
                                      .dv = dv,
                                      .begin = segments[segment],
                                      .end = segments[segment + 1],
                                      .kv_head = static_cast<int>(item % kv_heads)};
                   HWY_DYNAMIC_DISPATCH(backward)(task);
                 });
}

void attention_decode(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& q,
                      const TensorView& k_cache, const TensorView& v_cache,
                      std::int64_t positions_per_sequence, std::span<const std::int32_t> lengths,
                      const TensorView& out) {
  ensure_isa();
  const std::int64_t heads = shape.num_heads;
  const AttentionTask task{.shape = &shape,
                           .q = q,
                           .k = k_cache,
                           .v = v_cache,
                           .out = out,
                           .lse = {},
                           .dout = {},
                           .dq = {},
                           .dk = {},
                           .dv = {},
                           .begin = 0,
                           .end = 0,
                           .kv_head = 0};
  parallel_items(static_cast<std::int64_t>(lengths.size()) * heads, [&](std::int64_t item) {
    const std::int64_t sequence = item / heads;
    HWY_DYNAMIC_DISPATCH(decode)
    (task, sequence, item % heads, sequence * positions_per_sequence,
     lengths[static_cast<std::size_t>(sequence)]);
  });
}

}  // namespace finescale::cpu
#endif
