// SPDX-License-Identifier: Apache-2.0
// One task is one (segment, key/value head); a tile of queries after the other sees its keys (see
// attention_tiles-inl.h). Letters: L lanes (queries of a tile), N keys of a segment, D head width.
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
#include "kernels/cpu/attention_tiles-inl.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/prefix_attention.h"

#ifndef FINESCALE_ATTENTION_TASK
#define FINESCALE_ATTENTION_TASK
namespace finescale::cpu {

// Everything a task reads and writes. Views are whole matrices; the task adds its offsets.
struct AttentionTask {
  const AttentionShape* shape = nullptr;
  TensorView q, k, v, out, lse;
  TensorView dout, dq, dk, dv;  // backward only
  TensorView delta;             // empty: it follows from the segment
  std::int64_t begin = 0;       // segment
  std::int64_t end = 0;
  int kv_head = 0;
};

constexpr std::int64_t kMostLanes = 16;

// Scratch of a thread, grown and kept: no allocation in the steady state.
template <class T>
struct AttentionScratch {
  std::vector<T> tile, dtile, result;  // [D][L]: queries, gradients of outputs, what comes out
  std::vector<T> scores, dscores;      // [N][L]
  std::vector<T> dkeys, dvalues;       // [N][D], sums over heads and tiles
  std::vector<T> zeros, spare;         // rows [D] for lanes without a query
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

// A tile: `rows` queries of one head from `first` on, counted in the segment; keys [low, high) are
// seen by some of them.
template <class T>
struct Tile {
  const T* q[kMostLanes];
  const T* dout[kMostLanes];
  T* out[kMostLanes];  // or dq
  T lse[kMostLanes];
  T delta[kMostLanes];
  std::int64_t head, first, rows, low, high;
};

template <class T>
void grow(std::vector<T>& scratch, std::int64_t size) {
  if (std::ssize(scratch) < size) {
    scratch.resize(static_cast<std::size_t>(size));
  }
}

template <class T>
Tile<T> tile_of(const AttentionTask& task, std::int64_t head, std::int64_t first,
                std::int64_t lanes, const AttentionScratch<T>& scratch) {
  const std::int64_t width = task.shape->head_dim;
  Tile<T> tile = {};
  tile.head = head;
  tile.first = first;
  tile.rows = std::min(lanes, task.end - task.begin - first);
  tile.low = task.shape->window > 0 ? std::max<std::int64_t>(0, first - task.shape->window + 1) : 0;
  tile.high = first + tile.rows;
  const bool backward = !task.dout.empty();
  for (std::int64_t i = 0; i < lanes; ++i) {
    const std::int64_t row = task.begin + first + i;
    const bool there = i < tile.rows;
    tile.q[i] = there ? rows_of<T>(task.q, row, head * width) : scratch.zeros.data();
    tile.dout[i] =
        there && backward ? rows_of<T>(task.dout, row, head * width) : scratch.zeros.data();
    tile.out[i] = there ? rows_of<T>(backward ? task.dq : task.out, row, head * width) : nullptr;
    // exp(s - inf) = 0: a lane without a query weighs nothing.
    tile.lse[i] =
        there && backward ? rows_of<T>(task.lse, row, head)[0] : std::numeric_limits<T>::infinity();
    tile.delta[i] = there && !task.delta.empty() ? rows_of<T>(task.delta, row, head)[0] : T(0);
  }
  return tile;
}

// -inf where the query of a lane does not see key n.
template <class T>
HWY_INLINE hn::Vec<hn::ScalableTag<T>> masked(const Tile<T>& tile, int window, std::int64_t n,
                                              hn::Vec<hn::ScalableTag<T>> score) {
  const hn::ScalableTag<T> d;
  const auto nothing = hn::Set(d, -std::numeric_limits<T>::infinity());
  const auto lane = hn::Iota(d, T(0));
  if (n > tile.first) {
    score =
        hn::IfThenElse(hn::Ge(lane, hn::Set(d, static_cast<T>(n - tile.first))), score, nothing);
  }
  if (window > 0 && n + window < tile.first + tile.rows) {
    score = hn::IfThenElse(hn::Lt(lane, hn::Set(d, static_cast<T>(n + window - tile.first))), score,
                           nothing);
  }
  return score;
}

template <class T>
void forward_tile(const AttentionTask& task, const Tile<T>& tile, AttentionScratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t column = tile.head / (shape.num_heads / shape.num_kv_heads) * width;
  T* const scores = scratch.scores.data();
  tile_in(tile.q, lanes, width, scratch.tile.data());
  const auto scale = hn::Set(d, static_cast<T>(shape.scale));
  auto top = hn::Set(d, -std::numeric_limits<T>::infinity());
  tile_scores(scratch.tile.data(), width,
              Rows<T>{rows_of<T>(task.k, task.begin, column), task.k.row_stride}, tile.low,
              tile.high, [&](std::int64_t n, auto score) HWY_ATTR {
                score = masked(tile, shape.window, n, hn::Mul(score, scale));
                hn::StoreU(score, d, scores + (n - tile.low) * lanes);
                top = hn::Max(top, score);
              });
  // Two chains; the cut by parity does not depend on anything else.
  const std::int64_t count = tile.high - tile.low;
  auto even = hn::Zero(d);
  auto odd = even;
  std::int64_t n = 0;
  for (; n + 2 <= count; n += 2) {
    const auto a = vector_exp(d, hn::Sub(hn::LoadU(d, scores + n * lanes), top));
    const auto b = vector_exp(d, hn::Sub(hn::LoadU(d, scores + (n + 1) * lanes), top));
    hn::StoreU(a, d, scores + n * lanes);
    hn::StoreU(b, d, scores + (n + 1) * lanes);
    even = hn::Add(even, a);
    odd = hn::Add(odd, b);
  }
  if (n < count) {
    const auto a = vector_exp(d, hn::Sub(hn::LoadU(d, scores + n * lanes), top));
    hn::StoreU(a, d, scores + n * lanes);
    even = hn::Add(even, a);
  }
  const auto sum = hn::Add(even, odd);
  tile_values(scores, Rows<T>{rows_of<T>(task.v, task.begin, column), task.v.row_stride}, tile.low,
              tile.high, width, hn::Div(hn::Set(d, T(1)), sum), scratch.result.data());
  tile_out(scratch.result.data(), lanes, width, tile.out, scratch.spare.data());
  HWY_ALIGN T lse[kMostLanes] = {};
  hn::Store(hn::Add(top, hn::Log(d, sum)), d, lse);
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    rows_of<T>(task.lse, task.begin + tile.first + i, tile.head)[0] = lse[i];
  }
}

template <class T>
void grow_tiles(std::int64_t lanes, std::int64_t width, std::int64_t count,
                AttentionScratch<T>& scratch) {
  const std::int64_t columns = (width + kAtOnce - 1) / kAtOnce * kAtOnce;
  for (std::vector<T>* buffer : {&scratch.tile, &scratch.dtile, &scratch.result}) {
    grow(*buffer, columns * lanes);
  }
  grow(scratch.scores, count * lanes);
  grow(scratch.zeros, width);
  grow(scratch.spare, width);
}

template <class T>
void forward_task(const AttentionTask& task) {
  thread_local AttentionScratch<T> scratch;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  const AttentionShape& shape = *task.shape;
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  grow_tiles(lanes, shape.head_dim, task.end - task.begin, scratch);
  for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (std::int64_t first = 0; first < task.end - task.begin; first += lanes) {
      forward_tile(task, tile_of(task, head, first, lanes, scratch), scratch);
    }
  }
}

// With p = exp(s - lse) made again: ds = p (dp - delta) scale, delta = sum_n p dp, which is dout
// times out.
template <class T>
void backward_tile(const AttentionTask& task, const Tile<T>& tile, AttentionScratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t column = tile.head / (shape.num_heads / shape.num_kv_heads) * width;
  const Rows<T> keys = {rows_of<T>(task.k, task.begin, column), task.k.row_stride};
  T* const p = scratch.scores.data();
  T* const ds = scratch.dscores.data();
  tile_in(tile.q, lanes, width, scratch.tile.data());
  tile_in(tile.dout, lanes, width, scratch.dtile.data());
  const auto scale = hn::Set(d, static_cast<T>(shape.scale));
  const auto lse = hn::LoadU(d, tile.lse);
  tile_scores(scratch.tile.data(), width, keys, tile.low, tile.high,
              [&](std::int64_t n, auto score) HWY_ATTR {
                score = masked(tile, shape.window, n, hn::Mul(score, scale));
                hn::StoreU(vector_exp(d, hn::Sub(score, lse)), d, p + (n - tile.low) * lanes);
              });
  auto delta = hn::Zero(d);
  tile_scores(scratch.dtile.data(), width,
              Rows<T>{rows_of<T>(task.v, task.begin, column), task.v.row_stride}, tile.low,
              tile.high, [&](std::int64_t n, auto dp) HWY_ATTR {
                hn::StoreU(dp, d, ds + (n - tile.low) * lanes);
                delta = hn::MulAdd(hn::LoadU(d, p + (n - tile.low) * lanes), dp, delta);
              });
  if (!task.delta.empty()) {  // more than the segment was seen
    delta = hn::LoadU(d, tile.delta);
  }
  for (std::int64_t n = 0; n < tile.high - tile.low; ++n) {
    const auto weight = hn::Mul(hn::LoadU(d, p + n * lanes), scale);
    hn::StoreU(hn::Mul(weight, hn::Sub(hn::LoadU(d, ds + n * lanes), delta)), d, ds + n * lanes);
  }
  tile_values(ds, keys, tile.low, tile.high, width, hn::Set(d, T(1)), scratch.result.data());
  tile_out(scratch.result.data(), lanes, width, tile.out, scratch.spare.data());
  tile_scatter(ds, lanes, tile.low, tile.high, tile.q, width, scratch.dkeys.data());
  tile_scatter(p, lanes, tile.low, tile.high, tile.dout, width, scratch.dvalues.data());
}

template <class T>
void backward_task(const AttentionTask& task) {
  thread_local AttentionScratch<T> scratch;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  const AttentionShape& shape = *task.shape;
  const std::int64_t width = shape.head_dim;
  const std::int64_t count = task.end - task.begin;
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  const std::int64_t column = task.kv_head * width;
  grow_tiles(lanes, width, count, scratch);
  grow(scratch.dscores, count * lanes);
  scratch.dkeys.assign(static_cast<std::size_t>(count * width), T(0));
  scratch.dvalues.assign(static_cast<std::size_t>(count * width), T(0));
  for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (std::int64_t first = 0; first < count; first += lanes) {
      backward_tile(task, tile_of(task, head, first, lanes, scratch), scratch);
    }
  }
  for (std::int64_t n = 0; n < count; ++n) {
    std::copy_n(scratch.dkeys.data() + n * width, width,
                rows_of<T>(task.dk, task.begin + n, column));
    std::copy_n(scratch.dvalues.data() + n * width, width,
                rows_of<T>(task.dv, task.begin + n, column));
  }
}

void forward(const AttentionTask& task) {
  task.q.dtype == DType::kF64 ? forward_task<double>(task) : forward_task<float>(task);
}

void backward(const AttentionTask& task) {
  task.q.dtype == DType::kF64 ? backward_task<double>(task) : backward_task<float>(task);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(forward);
HWY_EXPORT(backward);

void attention_forward(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse, const TensorView& /*on_device*/) {
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
                                      .delta = {},
                                      .begin = segments[segment],
                                      .end = segments[segment + 1],
                                      .kv_head = static_cast<int>(item % kv_heads)};
                   HWY_DYNAMIC_DISPATCH(forward)(task);
                 });
}

namespace {

// `whole`: of all segments and heads.
void run_backward(const AttentionTask& whole, std::span<const std::int32_t> segments) {
  ensure_isa();
  const std::int64_t kv_heads = whole.shape->num_kv_heads;
  parallel_items((static_cast<std::int64_t>(segments.size()) - 1) * kv_heads,
                 [&](std::int64_t item) {
                   const auto segment = static_cast<std::size_t>(item / kv_heads);
                   AttentionTask task = whole;
                   task.begin = segments[segment];
                   task.end = segments[segment + 1];
                   task.kv_head = static_cast<int>(item % kv_heads);
                   HWY_DYNAMIC_DISPATCH(backward)(task);
                 });
}

// All but what the row sums of dout out come from.
AttentionTask backward_task(const AttentionShape& shape, const TensorView& dout,
                            const TensorView& q, const TensorView& k, const TensorView& v,
                            const TensorView& lse, const TensorView& dq, const TensorView& dk,
                            const TensorView& dv) {
  AttentionTask task;
  task.shape = &shape;
  task.q = q;
  task.k = k;
  task.v = v;
  task.lse = lse;
  task.dout = dout;
  task.dq = dq;
  task.dk = dk;
  task.dv = dv;
  return task;
}

}  // namespace

void attention_backward(const Stream& /*stream*/, const AttentionShape& shape,
                        const TensorView& dout, const TensorView& q, const TensorView& k,
                        const TensorView& v, const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv,
                        const TensorView& /*on_device*/) {
  AttentionTask task = backward_task(shape, dout, q, k, v, lse, dq, dk, dv);
  task.out = out;
  run_backward(task, segments);
}

void attention_backward_given(const Stream& /*stream*/, const AttentionShape& shape,
                              const TensorView& dout, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& lse, const TensorView& delta,
                              std::span<const std::int32_t> segments, const TensorView& dq,
                              const TensorView& dk, const TensorView& dv) {
  AttentionTask task = backward_task(shape, dout, q, k, v, lse, dq, dk, dv);
  task.delta = delta;
  run_backward(task, segments);
}

}  // namespace finescale::cpu
#endif
