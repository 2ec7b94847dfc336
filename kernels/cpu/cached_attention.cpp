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
  const std::int64_t* tiles = nullptr;  // begins of the tiles, and the end of the last
};

// A key/value head of tokens [begin, end).
struct CachedItem {
  std::int64_t begin, end, kv_head;
  std::int64_t next, next_head;  // last token of the item after it, -1: none
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

constexpr int kVectors = 4;  // of sums of a query: they hide the latency of a multiply-add
// Queries side by side: their sums, a vector of the cache and a factor fill the registers.
constexpr int kMostQueries = HWY_MAX_BYTES >= 64 ? 4 : 3;

// scores[i][n] = factor q[i] . key n for kQueries rows and kCount vectors of a page's positions.
// `next`: what is read after this page, on its way meanwhile.
template <int kQueries, int kCount, class T>
HWY_INLINE void score_vectors(const T* const* q, const T* keys, const T* next, std::int64_t width,
                              T factor, T* scores, std::int64_t stride) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V s[kQueries][kCount];
  for (auto& row : s) {
    for (auto& sum : row) {
      sum = hn::Zero(d);
    }
  }
  for (std::int64_t c = 0; c < width; ++c) {
#pragma GCC unroll 4
    for (int j = 0; j < kCount; ++j) {
      const V key = hn::LoadU(d, keys + c * kCachePage + j * lanes);
      __builtin_prefetch(next + c * kCachePage + j * lanes, 0, 2);
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        s[i][j] = hn::MulAdd(hn::Set(d, q[i][c]), key, s[i][j]);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kCount; ++j) {
      hn::StoreU(hn::Mul(s[i][j], hn::Set(d, factor)), d, scores + i * stride + j * lanes);
    }
  }
}

// Of the first `count` positions of a page; those behind them, whose keys are not there yet, are
// read for no more than a vector or two.
template <int kQueries, class T>
void page_scores(const T* const* q, const T* keys, const T* next, std::int64_t width, T factor,
                 std::int64_t count, T* scores, std::int64_t stride) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t n = 0; n < count; n += kVectors * lanes) {
    if (count - n > 2 * lanes) {
      score_vectors<kQueries, kVectors>(q, keys + n, next + n, width, factor, scores + n, stride);
    } else if (count - n > lanes) {
      score_vectors<kQueries, 2>(q, keys + n, next + n, width, factor, scores + n, stride);
    } else {
      score_vectors<kQueries, 1>(q, keys + n, next + n, width, factor, scores + n, stride);
    }
  }
}

// Positions [begin, end) of a sequence's pages, a head's keys and values at so many elements from a
// page's begin; and the same of the head that is next.
template <class T>
struct Span {
  std::int64_t begin, end;
  void* const* pages;
  std::int64_t keys, values;
  void* const* next_pages;
  std::int64_t next_keys, next_values;
  std::int64_t next_end;

  [[nodiscard]] const T* page(std::int64_t n) const {
    return static_cast<const T*>(pages[n / kCachePage]);
  }
  // Where the next head has no such page: this one.
  [[nodiscard]] const T* next(std::int64_t n, std::int64_t ours, std::int64_t theirs) const {
    return n < next_end ? static_cast<const T*>(next_pages[n / kCachePage]) + theirs
                        : page(n) + ours;
  }
};

// s[i] += p[i] times kBlock vectors of a position's values, of which `left` elements remain.
template <int kQueries, int kBlock, class T, class V>
HWY_INLINE void add_values(const T* p, std::int64_t stride, const T* value, const T* next,
                           std::size_t left, V (&s)[kQueries][kVectors], int chain) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
#pragma GCC unroll 4
  for (int j = 0; j < kBlock; ++j) {
    const std::size_t at = static_cast<std::size_t>(j) * lanes;
    __builtin_prefetch(next + at, 0, 2);
    const V v = kBlock > 1 ? hn::LoadU(d, value + at) : load_some(d, value + at, left - at, T(0));
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      V& sum = s[i][chain * kBlock + j];
      sum = hn::MulAdd(hn::Set(d, p[i * stride]), v, sum);
    }
  }
}

// Sums over positions of p[i][n] times kBlock vectors of the values' columns from `column` on.
// Narrow blocks have several chains of sums, position n in chain n % kChains.
template <int kQueries, int kBlock, class T>
void combine(const T* p, std::int64_t stride, const Span<T>& span, std::int64_t width,
             std::int64_t column, T* const* out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  constexpr int kChains = kVectors / kBlock;
  const auto left = static_cast<std::size_t>(width - column);
  V s[kQueries][kVectors];
  for (auto& row : s) {
    for (auto& sum : row) {
      sum = hn::Zero(d);
    }
  }
  for (std::int64_t page = span.begin; page < span.end; page += kCachePage) {
    const T* value = span.page(page) + span.values + column;
    const T* next = span.next(page, span.values, span.next_values) + column;
    const std::int64_t end = std::min(page + kCachePage, span.end);
    std::int64_t n = page;
    for (; n + kChains <= end; n += kChains) {
#pragma GCC unroll 4
      for (int chain = 0; chain < kChains; ++chain, value += width, next += width) {
        add_values<kQueries, kBlock>(p + n + chain, stride, value, next, left, s, chain);
      }
    }
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains - 1; ++chain, value += width, next += width) {
      if (n + chain < end) {
        add_values<kQueries, kBlock>(p + n + chain, stride, value, next, left, s, chain);
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
    for (int half = kVectors / 2; half >= kBlock; half /= 2) {
#pragma GCC unroll 4
      for (int j = 0; j < half; ++j) {
        s[i][j] = hn::Add(s[i][j], s[i][j + half]);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < kBlock; ++j) {
      const std::size_t at = static_cast<std::size_t>(j) * lanes;
      store_some(d, s[i][j], out[i] + column + at, left - at);
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

// Without positions. The next head's are on their way once for an item.
template <class T>
Span<T> span_of(const CachedTask& task, const CachedItem& item, bool is_first) {
  const std::int64_t head = task.shape->head_dim * kCachePage;
  const std::int64_t keys = task.offset + item.kv_head * head;
  const std::int64_t values = keys + task.shape->num_kv_heads * head;
  Span<T> span{.begin = 0,
               .end = 0,
               .pages = task.tokens[item.begin].pages,
               .keys = keys,
               .values = values,
               .next_pages = nullptr,
               .next_keys = keys,
               .next_values = values,
               .next_end = 0};
  if (is_first && item.next >= 0) {
    const CachedToken& token = task.tokens[item.next];
    const std::int64_t by = (item.next_head - item.kv_head) * head;
    span.next_pages = token.pages;
    span.next_keys += by;
    span.next_values += by;
    span.next_end = token.position + 1;
  }
  return span;
}

template <int kQueries, class T>
void attend(const CachedTask& task, const CachedItem& item, std::int64_t first,
            Queries<T>& queries) {
  const auto at = static_cast<std::size_t>(first);
  const std::int64_t width = task.shape->head_dim;
  Span<T> span = span_of<T>(task, item, first == 0);
  span.begin = queries.count[at];
  for (std::size_t i = at; i < at + kQueries; ++i) {
    span.begin = std::min(span.begin, first_key(*task.shape, queries.count[i] - 1));
    span.end = std::max(span.end, queries.count[i]);
  }
  span.begin = span.begin / kCachePage * kCachePage;
  T* scores = queries.scores.data() + first * queries.stride;
  for (std::int64_t n = span.begin; n < span.end; n += kCachePage) {
    page_scores<kQueries>(queries.q.data() + at, span.page(n) + span.keys,
                          span.next(n, span.keys, span.next_keys), width,
                          static_cast<T>(task.shape->scale), std::min(kCachePage, span.end - n),
                          scores + n, queries.stride);
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
  T* const* out = queries.out.data() + at;
  std::int64_t column = 0;
  for (; width - column >= kVectors * lanes; column += kVectors * lanes) {
    combine<kQueries, kVectors>(scores, queries.stride, span, width, column, out);
  }
  for (; width - column >= 2 * lanes; column += 2 * lanes) {
    combine<kQueries, 2>(scores, queries.stride, span, width, column, out);
  }
  for (; column < width; column += lanes) {
    combine<kQueries, 1>(scores, queries.stride, span, width, column, out);
  }
}

template <class T>
void attend_tile(const CachedTask& task, const CachedItem& item) {
  thread_local Queries<T> queries;  // grown and kept: no allocation in the steady state
  const std::int64_t group = task.shape->num_heads / task.shape->num_kv_heads;
  const std::int64_t width = task.shape->head_dim;
  queries.q.clear();
  queries.out.clear();
  queries.count.clear();
  std::int64_t longest = 0;
  for (std::int64_t t = item.begin; t < item.end; ++t) {
    const std::int64_t count = task.tokens[t].position + 1;
    longest = std::max(longest, count);
    for (std::int64_t head = item.kv_head * group; head < (item.kv_head + 1) * group; ++head) {
      queries.q.push_back(task.q.as<T>() + t * task.q.row_stride + head * width);
      queries.out.push_back(task.out.as<T>() + t * task.out.row_stride + head * width);
      queries.count.push_back(count);
    }
  }
  const auto total = static_cast<std::int64_t>(queries.q.size());
  queries.stride = (longest + kCachePage - 1) / kCachePage * kCachePage;
  queries.scores.resize(
      std::max(queries.scores.size(), static_cast<std::size_t>(total * queries.stride)));
  for (std::int64_t first = 0; first < total; first += kMostQueries) {
    switch (total - first) {
      case 1:
        attend<1>(task, item, first, queries);
        break;
      case 2:
        attend<2>(task, item, first, queries);
        break;
      case 3:  // as many heads share keys and values in SmolLM2
        attend<3>(task, item, first, queries);
        break;
      default:
        attend<kMostQueries>(task, item, first, queries);
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

// Items [begin, end): the heads of the first tile, of the second, ...
void attend_items(const CachedTask& task, std::int64_t begin, std::int64_t end) {
  const std::int64_t heads = task.shape->num_kv_heads;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t* tile = task.tiles + i / heads;
    const bool same_tile = (i + 1) % heads != 0;
    CachedItem item = {tile[0], tile[1], i % heads, -1, (i + 1) % heads};
    if (i + 1 < end) {
      item.next = tile[same_tile ? 1 : 2] - 1;
    }
    task.q.dtype == DType::kF64 ? attend_tile<double>(task, item) : attend_tile<float>(task, item);
  }
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

HWY_EXPORT(attend_items);
HWY_EXPORT(store_any);

namespace {

constexpr std::int64_t kTileTokens = 8;   // a page in the nearest cache then serves 8 and more rows
constexpr std::int64_t kAlone = 1 << 15;  // multiply-adds; below, waking a thread costs more
constexpr std::int64_t kTake = 1 << 14;   // of a take of items at least: counting them is shared

}  // namespace

void cache_store(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& k,
                 const TensorView& v, std::span<const CachedToken> tokens, std::int64_t offset,
                 const CachedToken* /*on_device*/) {
  ensure_isa();
  const CachedToken* all = tokens.data();
  parallel_for(static_cast<std::int64_t>(tokens.size()), 1 + 8192 / (k.cols() + 1),
               [&](std::int64_t begin, std::int64_t end) {
                 HWY_DYNAMIC_DISPATCH(store_any)(shape, k, v, all, offset, begin, end);
               });
}

void cached_attention(const Stream& /*stream*/, const AttentionShape& shape, const TensorView& q,
                      std::span<const CachedToken> tokens, std::int64_t offset,
                      const TensorView& out, const CachedToken* /*on_device*/) {
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
  const std::int64_t items = static_cast<std::int64_t>(begins.size()) * shape.num_kv_heads;
  begins.push_back(count);
  const CachedTask task = {.shape = &shape,
                           .q = q,
                           .out = out,
                           .offset = offset,
                           .tokens = tokens.data(),
                           .tiles = begins.data()};
  if (work <= kAlone || num_threads() == 1) {
    HWY_DYNAMIC_DISPATCH(attend_items)(task, 0, items);
    return;
  }
  // Some for each take, but enough takes for every thread.
  const std::int64_t threads = num_threads();
  const std::int64_t worth = items * kTake / std::max(work, kTake);
  const std::int64_t some = std::max(std::int64_t{1}, std::min(items / (8 * threads), worth));
  parallel_items((items + some - 1) / some, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(attend_items)(task, i * some, std::min((i + 1) * some, items));
  });
}

}  // namespace finescale::cpu
#endif
