// SPDX-License-Identifier: Apache-2.0
// One task is one (segment, key/value head): its keys and values are packed, then a tile of queries
// after the other sees them (see attention_tiles-inl.h). Letters: L lanes, N keys of a segment, D
// head width.
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
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

// Scratch of a thread, grown and kept: no allocation in the steady state. N and D as packed.
template <class T>
struct AttentionScratch {
  std::vector<T> keys, values;   // [N][D]; keys are scaled
  std::vector<T> queries, dout;  // [2 L][D] of a tile
  std::vector<T> tile, result;   // [D][2 L]: what is multiplied with keys or values, what comes out
  std::vector<T> scores, dscores;  // [N][2 L]
  std::vector<T> dkeys, dvalues;   // [N][D], sums over heads and tiles
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

constexpr double kLn2 = 0.69314718055994530942;
constexpr double kLog2E = 1.44269504088896340736;

// What a task packs: N keys and D columns, rounded up to what the loops take at once.
struct PackedSizes {
  std::int64_t keys, width;
};

template <class T>
PackedSizes packed_sizes(const AttentionTask& task) {
  return {rounded_up(task.end - task.begin, kAtOnce),
          rounded_up(task.shape->head_dim, std::max(kAtOnce, lanes_of<T>()))};
}

// A tile: `rows` queries of one head from `first` on, counted in the segment. Some of them see keys
// of [low, low + count), those of the first vector only [low, low + all).
struct Tile {
  std::int64_t head, first, rows, low, all, count;
};

template <class T>
Tile tile_of(const AttentionTask& task, std::int64_t head, std::int64_t first) {
  const std::int64_t lanes = lanes_of<T>();
  Tile tile = {};
  tile.head = head;
  tile.first = first;
  tile.rows = std::min(2 * lanes, task.end - task.begin - first);
  const std::int64_t window = task.shape->window;
  tile.low = window > 0 ? std::max<std::int64_t>(0, first - window + 1) / kAtOnce * kAtOnce : 0;
  tile.count = rounded_up(first + tile.rows, kAtOnce) - tile.low;
  tile.all = std::min(rounded_up(first + lanes, kAtOnce) - tile.low, tile.count);
  return tile;
}

template <class T>
void grow(std::vector<T>& scratch, std::int64_t size) {
  if (std::ssize(scratch) < size) {
    scratch.resize(static_cast<std::size_t>(size));
  }
}

template <class T>
void grow(const PackedSizes& size, bool backward, AttentionScratch<T>& scratch) {
  const std::int64_t queries = tile_queries<T>();
  for (std::vector<T>* buffer : {&scratch.keys, &scratch.values}) {
    grow(*buffer, size.keys * size.width);
  }
  for (std::vector<T>* buffer : {&scratch.queries, &scratch.dout, &scratch.tile, &scratch.result}) {
    grow(*buffer, queries * size.width);
  }
  grow(scratch.scores, size.keys * queries);
  if (backward) {
    grow(scratch.dscores, size.keys * queries);
    scratch.dkeys.assign(static_cast<std::size_t>(size.keys * size.width), T(0));
    scratch.dvalues.assign(static_cast<std::size_t>(size.keys * size.width), T(0));
  }
}

// Scores are to base 2: the keys are multiplied by the scale and by log2(e).
template <class T>
void pack_keys(const AttentionTask& task, const PackedSizes& size, AttentionScratch<T>& scratch) {
  const std::int64_t width = task.shape->head_dim;
  const std::int64_t column = task.kv_head * width;
  const std::int64_t count = task.end - task.begin;
  pack_rows(rows_of<T>(task.k, task.begin, column), task.k.row_stride, count, width, size.keys,
            size.width, static_cast<T>(task.shape->scale * kLog2E), scratch.keys.data());
  pack_rows(rows_of<T>(task.v, task.begin, column), task.v.row_stride, count, width, size.keys,
            size.width, T(1), scratch.values.data());
}

// The tile's rows of x: packed, and transposed where the products want them.
template <int kVectors, class T>
void tile_in(const AttentionTask& task, const Tile& tile, const TensorView& x,
             std::int64_t padded_width, T* rows, T* transposed) {
  const std::int64_t width = task.shape->head_dim;
  const std::int64_t queries = kVectors * lanes_of<T>();
  pack_rows(rows_of<T>(x, task.begin + tile.first, tile.head * width), x.row_stride, tile.rows,
            width, queries, padded_width, T(1), rows);
  transpose(rows, queries, padded_width, padded_width, transposed, tile_queries<T>());
}

// The tile's result, in the memory of its queries on the way.
template <int kVectors, class T>
void tile_out(const AttentionTask& task, const Tile& tile, std::int64_t padded_width,
              AttentionScratch<T>& scratch, const TensorView& to) {
  const std::int64_t width = task.shape->head_dim;
  transpose(scratch.result.data(), padded_width, kVectors * lanes_of<T>(), tile_queries<T>(),
            scratch.queries.data(), padded_width);
  unpack_rows(scratch.queries.data(), padded_width, tile.rows, width, T(1),
              rows_of<T>(to, task.begin + tile.first, tile.head * width), to.row_stride);
}

// scores = tile times the rows of x that it sees.
template <int kVectors, class T>
void tile_products(const Tile& tile, std::int64_t width, const T* transposed, const T* x,
                   T* scores) {
  const T* const rows = x + tile.low * width;
  tile_scores<kVectors>(transposed, rows, width, tile.all, scores);
  if constexpr (kVectors == 2) {
    tile_scores<1>(transposed + lanes_of<T>(), rows + tile.all * width, width,
                   tile.count - tile.all, scores + tile.all * tile_queries<T>() + lanes_of<T>());
  }
}

// -inf where a query of the vector that begins with query `first` does not see a key; keys of
// [low, low + count).
template <class T>
void mask_scores(std::int64_t first, std::int64_t window, std::int64_t low, std::int64_t count,
                 T* scores) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = lanes_of<T>();
  const auto nothing = hn::Set(d, -std::numeric_limits<T>::infinity());
  const auto lane = hn::Iota(d, T(0));
  const auto mask = [&](std::int64_t n, auto seen) HWY_ATTR {
    T* const at = scores + (n - low) * tile_queries<T>();
    hn::StoreU(hn::IfThenElse(seen, hn::LoadU(d, at), nothing), d, at);
  };
  for (std::int64_t n = std::max(low, first + 1); n < low + count; ++n) {
    mask(n, hn::Ge(lane, hn::Set(d, static_cast<T>(n - first))));
  }
  if (window > 0) {
    for (std::int64_t n = low; n < std::min(low + count, first + lanes - window); ++n) {
      mask(n, hn::Lt(lane, hn::Set(d, static_cast<T>(n + window - first))));
    }
  }
}

// The number of keys that vector v of a tile sees.
template <int kVectors>
std::int64_t keys_seen(const Tile& tile, int v) {
  return v + 1 < kVectors ? tile.all : tile.count;
}

// Of one vector of queries: scores become exp(score - top); returns the sum of that.
template <class T>
HWY_INLINE hn::Vec<hn::ScalableTag<T>> softmax_scores(std::int64_t count, T* scores,
                                                      hn::Vec<hn::ScalableTag<T>>& top) {
  const hn::ScalableTag<T> d;
  const std::int64_t step = tile_queries<T>();
  auto even =
      hn::Set(d, -std::numeric_limits<T>::infinity());  // two chains: maxima take their time
  auto odd = even;
  for (std::int64_t n = 0; n < count; n += 2) {
    even = hn::Max(even, hn::LoadU(d, scores + n * step));
    odd = hn::Max(odd, hn::LoadU(d, scores + (n + 1) * step));
  }
  top = hn::Max(even, odd);
  auto sum = hn::Zero(d);
  for (std::int64_t n = 0; n < count; ++n) {
    const auto e = vector_exp2(d, hn::Sub(hn::LoadU(d, scores + n * step), top));
    hn::StoreU(e, d, scores + n * step);
    sum = hn::Add(sum, e);
  }
  return sum;
}

template <int kVectors, class T>
void forward_tile(const AttentionTask& task, const Tile& tile, const PackedSizes& size,
                  AttentionScratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = lanes_of<T>();
  T* const scores = scratch.scores.data();
  tile_in<kVectors>(task, tile, task.q, size.width, scratch.queries.data(), scratch.tile.data());
  tile_products<kVectors>(tile, size.width, scratch.tile.data(), scratch.keys.data(), scores);
  hn::Vec<decltype(d)> factor[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t count = keys_seen<kVectors>(tile, v);
    const std::int64_t first = tile.first + v * lanes;
    mask_scores(first, task.shape->window, tile.low, count, scores + v * lanes);
    hn::Vec<decltype(d)> top;
    const auto sum = softmax_scores(count, scores + v * lanes, top);
    factor[v] = hn::Div(hn::Set(d, T(1)), sum);
    HWY_ALIGN T lse[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(hn::MulAdd(top, hn::Set(d, static_cast<T>(kLn2)), hn::Log(d, sum)), d, lse);
    for (std::int64_t i = 0; i < std::min(lanes, tile.rows - v * lanes); ++i) {
      rows_of<T>(task.lse, task.begin + first + i, tile.head)[0] = lse[i];
    }
  }
  tile_values<kVectors>(scores, scratch.values.data() + tile.low * size.width, size.width, tile.all,
                        tile.count, factor, scratch.result.data());
  tile_out<kVectors>(task, tile, size.width, scratch, task.out);
}

template <class T>
void forward_task(const AttentionTask& task) {
  thread_local AttentionScratch<T> scratch;
  const std::int64_t group = task.shape->num_heads / task.shape->num_kv_heads;
  const PackedSizes size = packed_sizes<T>(task);
  grow(size, false, scratch);
  pack_keys(task, size, scratch);
  for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (std::int64_t first = 0; first < task.end - task.begin; first += tile_queries<T>()) {
      const Tile tile = tile_of<T>(task, head, first);
      tile.rows > lanes_of<T>() ? forward_tile<2>(task, tile, size, scratch)
                                : forward_tile<1>(task, tile, size, scratch);
    }
  }
}

// Of one vector of queries: scores become p = exp(score - lse), ds the gradients of the scores
// without their scale, p (dp - delta), delta = sum_n p dp, which is dout times out.
template <class T>
HWY_INLINE void gradients_of_scores(std::int64_t count, hn::Vec<hn::ScalableTag<T>> lse,
                                    const T* delta, T* p, T* ds) {
  const hn::ScalableTag<T> d;
  const std::int64_t step = tile_queries<T>();
  auto sum = hn::Zero(d);
  for (std::int64_t n = 0; n < count; ++n) {
    const auto weight = vector_exp2(d, hn::Sub(hn::LoadU(d, p + n * step), lse));
    hn::StoreU(weight, d, p + n * step);
    sum = hn::MulAdd(weight, hn::LoadU(d, ds + n * step), sum);
  }
  if (delta != nullptr) {  // more than the segment was seen
    sum = hn::LoadU(d, delta);
  }
  for (std::int64_t n = 0; n < count; ++n) {
    const auto off = hn::Sub(hn::LoadU(d, ds + n * step), sum);
    hn::StoreU(hn::Mul(hn::LoadU(d, p + n * step), off), d, ds + n * step);
  }
}

// The statistics of vector v of a tile; +inf and 0 for lanes without a query: exp(s - inf) = 0,
// they weigh nothing.
template <class T>
void tile_statistics(const AttentionTask& task, const Tile& tile, std::int64_t v, T* lse,
                     T* delta) {
  const std::int64_t lanes = lanes_of<T>();
  for (std::int64_t i = 0; i < lanes; ++i) {
    const bool there = v * lanes + i < tile.rows;
    const std::int64_t row = task.begin + tile.first + v * lanes + i;
    lse[i] = there ? rows_of<T>(task.lse, row, tile.head)[0] * static_cast<T>(kLog2E)
                   : std::numeric_limits<T>::infinity();
    delta[i] = there && !task.delta.empty() ? rows_of<T>(task.delta, row, tile.head)[0] : T(0);
  }
}

// With p = exp(s - lse) made again.
template <int kVectors, class T>
void backward_tile(const AttentionTask& task, const Tile& tile, const PackedSizes& size,
                   AttentionScratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = lanes_of<T>();
  const std::int64_t width = size.width;
  T* const p = scratch.scores.data();
  T* const ds = scratch.dscores.data();
  tile_in<kVectors>(task, tile, task.q, width, scratch.queries.data(), scratch.tile.data());
  tile_products<kVectors>(tile, width, scratch.tile.data(), scratch.keys.data(), p);
  tile_in<kVectors>(task, tile, task.dout, width, scratch.dout.data(), scratch.tile.data());
  tile_products<kVectors>(tile, width, scratch.tile.data(), scratch.values.data(), ds);
  hn::Vec<decltype(d)> factor[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t count = keys_seen<kVectors>(tile, v);
    mask_scores(tile.first + v * lanes, task.shape->window, tile.low, count, p + v * lanes);
    HWY_ALIGN T lse[HWY_MAX_BYTES / sizeof(T)];
    HWY_ALIGN T delta[HWY_MAX_BYTES / sizeof(T)];
    tile_statistics(task, tile, v, lse, delta);
    gradients_of_scores(count, hn::Load(d, lse), task.delta.empty() ? nullptr : delta,
                        p + v * lanes, ds + v * lanes);
    factor[v] = hn::Set(d, static_cast<T>(kLn2));  // takes log2(e) back from the packed keys
  }
  const std::int64_t offset = tile.low * width;
  tile_values<kVectors>(ds, scratch.keys.data() + offset, width, tile.all, tile.count, factor,
                        scratch.result.data());
  const auto scatter = [&](const T* weights, const T* rows, T* sums) {
    tile_scatter(weights, tile.all, rows, 0, tile.rows, width, sums + offset);
    tile_scatter(weights + tile.all * tile_queries<T>(), tile.count - tile.all, rows, lanes,
                 tile.rows, width, sums + offset + tile.all * width);
  };
  scatter(ds, scratch.queries.data(), scratch.dkeys.data());
  scatter(p, scratch.dout.data(), scratch.dvalues.data());
  // Last: dq passes through the memory of the queries.
  tile_out<kVectors>(task, tile, width, scratch, task.dq);
}

template <class T>
void backward_task(const AttentionTask& task) {
  thread_local AttentionScratch<T> scratch;
  const AttentionShape& shape = *task.shape;
  const std::int64_t count = task.end - task.begin;
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  const std::int64_t column = task.kv_head * std::int64_t{shape.head_dim};
  const PackedSizes size = packed_sizes<T>(task);
  grow(size, true, scratch);
  pack_keys(task, size, scratch);
  for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (std::int64_t first = 0; first < count; first += tile_queries<T>()) {
      const Tile tile = tile_of<T>(task, head, first);
      tile.rows > lanes_of<T>() ? backward_tile<2>(task, tile, size, scratch)
                                : backward_tile<1>(task, tile, size, scratch);
    }
  }
  unpack_rows(scratch.dkeys.data(), size.width, count, shape.head_dim, static_cast<T>(shape.scale),
              rows_of<T>(task.dk, task.begin, column), task.dk.row_stride);
  unpack_rows(scratch.dvalues.data(), size.width, count, shape.head_dim, T(1),
              rows_of<T>(task.dv, task.begin, column), task.dv.row_stride);
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

namespace {

// Calls run(task) for every segment and key/value head of `whole`, the longest segments first: the
// last tasks, which some threads wait for, are short then.
template <class Run>
void for_tasks(const AttentionTask& whole, std::span<const std::int32_t> segments, const Run& run) {
  ensure_isa();
  thread_local std::vector<std::size_t> order;  // grown and kept
  order.resize(std::max<std::size_t>(segments.size(), 1) - 1);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto length = [&](std::size_t segment) {
    return segments[segment + 1] - segments[segment];
  };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return length(a) > length(b); });
  const std::int64_t kv_heads = whole.shape->num_kv_heads;
  const std::size_t* const at = order.data();  // of the thread that called
  parallel_items(std::ssize(order) * kv_heads, [&](std::int64_t item) {
    const std::size_t segment = at[item / kv_heads];
    AttentionTask task = whole;
    task.begin = segments[segment];
    task.end = segments[segment + 1];
    task.kv_head = static_cast<int>(item % kv_heads);
    run(task);
  });
}

void run_backward(const AttentionTask& whole, std::span<const std::int32_t> segments) {
  for_tasks(whole, segments, [](const AttentionTask& task) {
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

void attention_forward(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse, const TensorView& /*on_device*/) {
  AttentionTask whole;
  whole.shape = &shape;
  whole.q = q;
  whole.k = k;
  whole.v = v;
  whole.out = out;
  whole.lse = lse;
  for_tasks(whole, segments, [](const AttentionTask& task) {
    HWY_DYNAMIC_DISPATCH(forward)(task);
  });
}

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
