// SPDX-License-Identifier: Apache-2.0
// One task is one key/value head of a tile: neighbouring tokens of one sequence. Every score is one
// sum over the head, every output one sum over positions in their order, so the tile decides only
// how often a page is read. Letters: Q queries, N positions, D head width.
#include "kernels/cached_attention.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cached_attention.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/math-inl.h"

#ifndef FINESCALE_CACHED_ATTENTION_TASK
#define FINESCALE_CACHED_ATTENTION_TASK
namespace finescale::cpu {

struct CachedTask {
  const AttentionShape* shape = nullptr;
  TensorView q, out;
  std::int64_t offset = 0;
  const CachedToken* tokens = nullptr;
  std::int64_t begin = 0;  // tokens of the tile
  std::int64_t end = 0;
  std::int64_t kv_head = 0;
};

constexpr std::int64_t kVectorPad = 16;  // the widest vector of f32

}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// First key that query `row` of a segment sees.
inline std::int64_t first_key(const AttentionShape& shape, std::int64_t row) {
  return shape.window == 0 || row < shape.window ? 0 : row - shape.window + 1;
}

// Softmax of scores[first, count); other entries in [0, columns) become zero.
template <class T>
void softmax(T* scores, std::int64_t first, std::int64_t count, std::int64_t columns) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const T lowest = -std::numeric_limits<T>::infinity();
  std::fill(scores, scores + first, lowest);
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
}

constexpr int kVectors = 4;  // of positions or of the head, side by side: they hide the latency

// s[i][j] += q[i][c] times column c of the keys.
template <int kQueries, class T, class V>
HWY_INLINE void add_products(const T* const* q, std::int64_t c, const T* column,
                             V (&s)[kQueries][kVectors]) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    const V key = hn::LoadU(d, column + j * lanes);
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      s[i][j] = hn::MulAdd(hn::Set(d, q[i][c]), key, s[i][j]);
    }
  }
}

// scores[i][n] = factor q[i] . key n for kQueries rows and the positions of one page.
template <int kQueries, class T>
void page_scores(const T* const* q, const T* keys, std::int64_t width, T factor, T* scores,
                 std::int64_t stride) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t n = 0; n < kCachePage; n += kVectors * lanes) {
    V s[kQueries][kVectors];
    for (auto& row : s) {
      for (auto& sum : row) {
        sum = hn::Zero(d);
      }
    }
    for (std::int64_t c = 0; c < width; ++c) {
      add_products<kQueries>(q, c, keys + c * kCachePage + n, s);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) {
        hn::StoreU(hn::Mul(s[i][j], hn::Set(d, factor)), d, scores + i * stride + n + j * lanes);
      }
    }
  }
}

// Positions [begin, end) of a sequence's pages, values at `values` elements from a page's begin.
struct Span {
  std::int64_t begin, end;
  void* const* pages;
  std::int64_t values;
};

// Sums over positions of p[i][n] times kBlock vectors of the values' columns from `column` on.
template <int kQueries, int kBlock, class T>
void combine(const T* p, std::int64_t stride, const Span& span, std::int64_t width,
             std::int64_t column, T* const* out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V s[kQueries][kBlock];
  for (auto& row : s) {
    for (auto& sum : row) {
      sum = hn::Zero(d);
    }
  }
  for (std::int64_t n = span.begin; n < span.end; ++n) {
    const T* value = static_cast<const T*>(span.pages[n / kCachePage]) + span.values +
                     n % kCachePage * width + column;
#pragma GCC unroll 4
    for (int j = 0; j < kBlock; ++j) {
      const auto left = static_cast<std::size_t>(width - column - j * lanes);
      const V v = load_some(d, value + j * lanes, left, T(0));
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        s[i][j] = hn::MulAdd(hn::Set(d, p[i * stride + n]), v, s[i][j]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kBlock; ++j) {
      const auto left = static_cast<std::size_t>(width - column - j * lanes);
      store_some(d, s[i][j], out[i] + column + j * lanes, left);
    }
  }
}

// The queries of a tile that share a key/value head.
template <class T>
struct Queries {
  std::vector<const T*> q;
  std::vector<T*> out;
  std::vector<std::int64_t> count;  // positions that it sees
  std::vector<T> scores;            // [Q, stride]
  std::int64_t stride = 0;
};

template <int kQueries, class T>
void attend(const CachedTask& task, std::int64_t first, Queries<T>& queries) {
  const auto at = static_cast<std::size_t>(first);
  const std::int64_t width = task.shape->head_dim;
  const std::int64_t keys = task.offset + task.kv_head * width * kCachePage;
  Span span{queries.count[at], 0, task.tokens[task.begin].pages,
            keys + task.shape->num_kv_heads * width * kCachePage};
  for (std::size_t i = at; i < at + kQueries; ++i) {
    span.begin = std::min(span.begin, first_key(*task.shape, queries.count[i] - 1));
    span.end = std::max(span.end, queries.count[i]);
  }
  span.begin = span.begin / kCachePage * kCachePage;
  T* scores = queries.scores.data() + first * queries.stride;
  for (std::int64_t n = span.begin; n < span.end; n += kCachePage) {
    page_scores<kQueries>(queries.q.data() + at,
                          static_cast<const T*>(span.pages[n / kCachePage]) + keys, width,
                          static_cast<T>(task.shape->scale), scores + n, queries.stride);
  }
  for (int i = 0; i < kQueries; ++i) {
    T* row = scores + i * queries.stride;
    const std::int64_t count = queries.count[at + static_cast<std::size_t>(i)];
    const std::int64_t columns = (count + kVectorPad - 1) / kVectorPad * kVectorPad;
    softmax(row + span.begin, first_key(*task.shape, count - 1) - span.begin, count - span.begin,
            columns - span.begin);
    std::fill(row + columns, row + std::max(columns, span.end), T(0));
  }
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  std::int64_t column = 0;
  for (; column + (kVectors - 1) * lanes < width; column += kVectors * lanes) {
    combine<kQueries, kVectors>(scores, queries.stride, span, width, column,
                                queries.out.data() + at);
  }
  for (; column < width; column += lanes) {
    combine<kQueries, 1>(scores, queries.stride, span, width, column, queries.out.data() + at);
  }
}

template <class T>
void attend_tile(const CachedTask& task) {
  thread_local Queries<T> queries;  // grown and kept: no allocation in the steady state
  const std::int64_t group = task.shape->num_heads / task.shape->num_kv_heads;
  const std::int64_t width = task.shape->head_dim;
  queries.q.clear();
  queries.out.clear();
  queries.count.clear();
  std::int64_t longest = 0;
  for (std::int64_t t = task.begin; t < task.end; ++t) {
    const std::int64_t count = task.tokens[t].position + 1;
    longest = std::max(longest, count);
    for (std::int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
      queries.q.push_back(task.q.as<T>() + t * task.q.row_stride + head * width);
      queries.out.push_back(task.out.as<T>() + t * task.out.row_stride + head * width);
      queries.count.push_back(count);
    }
  }
  const auto total = static_cast<std::int64_t>(queries.q.size());
  queries.stride = (longest + kCachePage - 1) / kCachePage * kCachePage;
  queries.scores.resize(
      std::max(queries.scores.size(), static_cast<std::size_t>(total * queries.stride)));
  for (std::int64_t first = 0; first < total; first += 4) {
    switch (total - first) {
      case 1:
        attend<1>(task, first, queries);
        break;
      case 2:
        attend<2>(task, first, queries);
        break;
      case 3:  // as many heads share keys and values in SmolLM2
        attend<3>(task, first, queries);
        break;
      default:
        attend<4>(task, first, queries);
    }
  }
}

template <class T>
void store_rows(const AttentionShape& shape, const TensorView& k, const TensorView& v,
                const CachedToken* tokens, std::int64_t offset, std::int64_t begin,
                std::int64_t end) {
  const std::int64_t width = shape.head_dim;
  const std::int64_t total = shape.num_kv_heads * width;
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t place = tokens[t].position % kCachePage;
    T* keys = static_cast<T*>(tokens[t].pages[tokens[t].position / kCachePage]) + offset;
    T* values = keys + total * kCachePage;
    const T* key = k.as<T>() + t * k.row_stride;
    const T* value = v.as<T>() + t * v.row_stride;
    for (std::int64_t c = 0; c < total; ++c) {
      keys[c * kCachePage + place] = key[c];
    }
    for (std::int64_t head = 0; head < shape.num_kv_heads; ++head) {
      std::copy_n(value + head * width, width, values + (head * kCachePage + place) * width);
    }
  }
}

void attend_any(const CachedTask& task) {
  task.q.dtype == DType::kF64 ? attend_tile<double>(task) : attend_tile<float>(task);
}

void store_any(const AttentionShape& shape, const TensorView& k, const TensorView& v,
               const CachedToken* tokens, std::int64_t offset, std::int64_t begin,
               std::int64_t end) {
  k.dtype == DType::kF64 ? store_rows<double>(shape, k, v, tokens, offset, begin, end)
                         : store_rows<float>(shape, k, v, tokens, offset, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(attend_any);
HWY_EXPORT(store_any);

namespace {

constexpr std::int64_t kTileTokens = 8;   // a page in the nearest cache then serves 8 and more rows
constexpr std::int64_t kAlone = 1 << 15;  // multiply-adds; below, waking a thread costs more

}  // namespace

void cache_store(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, std::span<const CachedToken> tokens, std::int64_t offset) {
  ensure_isa();
  const CachedToken* all = tokens.data();
  parallel_for(static_cast<std::int64_t>(tokens.size()), 1 + 8192 / (k.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(store_any)(shape, k, v, all, offset, begin, end);
               });
}

void cached_attention(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& q,
                      std::span<const CachedToken> tokens, std::int64_t offset,
                      const TensorView& out) {
  ensure_isa();
  thread_local std::vector<std::int64_t> begins;  // of the tiles; grown and kept
  begins.clear();
  std::int64_t work = 0;
  const auto count = static_cast<std::int64_t>(tokens.size());
  for (std::int64_t t = 0; t < count; ++t) {
    const bool opens = begins.empty() || t - begins.back() == kTileTokens ||
                       tokens[static_cast<std::size_t>(t)].pages !=
                           tokens[static_cast<std::size_t>(begins.back())].pages;
    if (opens) {
      begins.push_back(t);
    }
    work += (tokens[static_cast<std::size_t>(t)].position + 1) * q.cols();
  }
  const auto tiles = static_cast<std::int64_t>(begins.size());
  begins.push_back(count);
  const std::int64_t* tile_begins = begins.data();
  const auto run = [&](std::int64_t item) {
    const std::int64_t* tile = tile_begins + item / shape.num_kv_heads;
    HWY_DYNAMIC_DISPATCH(attend_any)
    (CachedTask{.shape = &shape,
                .q = q,
                .out = out,
                .offset = offset,
                .tokens = tokens.data(),
                .begin = tile[0],
                .end = tile[1],
                .kv_head = item % shape.num_kv_heads});
  };
  if (work <= kAlone) {
    for (std::int64_t item = 0; item < tiles * shape.num_kv_heads; ++item) {
      run(item);
    }
    return;
  }
  parallel_items(tiles * shape.num_kv_heads, run);
}

}  // namespace finescale::cpu
#endif
