// SPDX-License-Identifier: Apache-2.0
// The gradient has no atomics: places are sorted by token, by merging in a time that grows with T
// alone, and a token's rows are added in the order of their places by the one block that owns the
// token. Letters: T tokens, C model width, V
// vocabulary, U rows that are added.
#include "kernels/cuda/embedding.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kTokens = 4;  // of a block, a warp each
constexpr int kThreads = 128;
constexpr int kTile = 256;  // tokens, a thread each
constexpr int kWays = 16;   // 65,536 tokens are sorted by two merges behind the tiles
constexpr int kWindow = static_cast<int>(kWarp);
constexpr int kRows = 8;       // on their way at once, with as many of the sums
constexpr int kLongRows = 16;  // the same memory, of one token
constexpr std::int64_t kMostTokens = std::int64_t{1} << 27;  // what is merged ends below 2^31
constexpr std::int32_t kBehindAll = INT32_MAX - 1;           // one more is a number, too

// tokens [T], weight [V, C] of E, y [T, C] of S.
template <class E, class S, int kWidth>
__global__ void __launch_bounds__(kWarp* kTokens)
    gather_rows(const std::int32_t* __restrict__ tokens, const E* __restrict__ weight,
                std::int64_t weight_stride, std::int64_t vocabulary, S* __restrict__ y,
                std::int64_t y_stride, std::int64_t rows, std::int64_t width) {
  const std::int64_t t = static_cast<std::int64_t>(blockIdx.x) * kTokens + threadIdx.y;
  if (t >= rows) {
    return;
  }
  const std::int64_t token = tokens[t];
  const bool is_there = token >= 0 && token < vocabulary;
  const auto missing = static_cast<Compute<S>>(token == kNoRow ? 0.0F : NAN);
  for (std::int64_t c = static_cast<std::int64_t>(threadIdx.x) * kWidth; c < width;
       c += kWarp * kWidth) {
    Compute<S> values[kWidth];
    if (is_there) {
      load_pack(weight + token * weight_stride + c, values);
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        values[i] = missing;
      }
    }
    store_pack(values, y + t * y_stride + c);
  }
}

// The places of a token in sorted order, as two arrays.
struct Sorted {
  std::int32_t* tokens;
  std::int32_t* places;
};

// Block b sorts the tokens of its tile, equal ones by place: a thread counts those in front of its
// own, of which a warp reads four at once.
__global__ void __launch_bounds__(kTile)
    sort_tiles(const std::int32_t* __restrict__ tokens, std::int32_t count, Sorted to) {
  GPU_SHARED(std::int32_t, tile, [kTile]);
  const auto own = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t begin = static_cast<std::int32_t>(blockIdx.x) * kTile;
  const std::int32_t mine = begin + own < count ? tokens[begin + own] : kBehindAll;
  tile[own] = mine;
  __syncthreads();
  std::int32_t in_front = 0;
#pragma unroll 4
  for (std::int32_t i = 0; i < kTile; i += 4) {
    const uint4 four = *reinterpret_cast<const uint4*>(tile + i);
    const auto counts = [&](unsigned other, std::int32_t place) {
      return static_cast<std::int32_t>(other) < mine + (place < own ? 1 : 0) ? 1 : 0;
    };
    in_front +=
        counts(four.x, i) + counts(four.y, i + 1) + counts(four.z, i + 2) + counts(four.w, i + 3);
  }
  if (begin + own < count) {
    to.tokens[begin + in_front] = mine;
    to.places[begin + in_front] = begin + own;
  }
}

// Every kWays sorted runs of `run` tokens, whole tiles, become one: a thread has a token and looks
// for its place in each of them, in all at once. The tokens come from the caches: 4 T bytes.
__global__ void __launch_bounds__(kTile, 2)  // left free it waits for every single one
    merge_runs(Sorted from, std::int32_t run, std::int32_t count, Sorted to) {
  const std::int32_t tile = static_cast<std::int32_t>(blockIdx.x) * kTile;
  const std::int32_t p = tile + static_cast<std::int32_t>(threadIdx.x);
  if (p >= count) {
    return;
  }
  const std::int32_t* __restrict__ const tokens = from.tokens;
  const std::int32_t begin = tile / (run * kWays) * (run * kWays);
  const std::int32_t own = (tile - begin) / run;
  const std::int32_t mine = tokens[p];
  const std::int32_t own_place = from.places[p];
  std::int32_t found[kWays];  // how far each run is in front of the token
#pragma unroll
  for (int way = 0; way < kWays; ++way) {
    found[way] = begin + way * run;
  }
  const auto step = [&](std::int32_t size, std::int32_t taken) {
    std::int32_t others[kWays];
#pragma unroll
    for (int way = 0; way < kWays; ++way) {
      const std::int32_t at = found[way] + size - 1;
      others[way] = tokens[at < count ? at : p];  // without a branch: all are on their way
    }
#pragma unroll
    for (int way = 0; way < kWays; ++way) {
      // Of equal tokens those of the runs in front are in front.
      const bool is_in_front = others[way] < (way < own ? mine + 1 : mine);
      found[way] += is_in_front && found[way] + size <= count ? taken : 0;
    }
  };
  for (std::int32_t size = run / 2; size > 0; size /= 2) {
    step(size, size);
  }
  step(1, 1);
  std::int32_t place = begin;
#pragma unroll
  for (int way = 0; way < kWays; ++way) {
    place += (way == own ? p : found[way]) - (begin + way * run);
  }
  to.tokens[place] = mine;
  to.places[place] = own_place;
}

// A lane's part of kWarp places in sorted order; behind the last one there is nothing.
struct Lane {
  std::int32_t token, place;
};
__device__ __forceinline__ Lane lane_at(const Sorted& sorted, std::int32_t p, std::int32_t count) {
  return p < count ? Lane{sorted.tokens[p], sorted.places[p]} : Lane{kNoRow, 0};
}

template <class G, int kWidth>
__device__ __forceinline__ void copy_to(const G (&from)[kWidth], G (&to)[kWidth]) {
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    to[e] = from[e];
  }
}
template <class G, int kWidth>
__device__ __forceinline__ void add_to(const G (&more)[kWidth], G (&sum)[kWidth]) {
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    sum[e] += more[e];
  }
}

// sum += row_of(place) for the places of the first `length` lanes, in their order.
template <class G, int kWidth, class RowOf>
__device__ __forceinline__ void add_lanes(std::int32_t place_of_lane, std::int32_t length,
                                          bool has_columns, const RowOf& row_of, G (&sum)[kWidth]) {
  for (std::int32_t first = 0; first < length; first += kLongRows) {
    G rows[kLongRows][kWidth];
#pragma unroll
    for (int j = 0; j < kLongRows; ++j) {
      const std::int32_t place = __shfl_sync(kAllLanes, place_of_lane, first + j);
      if (has_columns && first + j < length) {
        load_pack(row_of(place), rows[j]);
      }
    }
#pragma unroll
    for (int j = 0; j < kLongRows; ++j) {
      if (first + j < length) {
        add_to(rows[j], sum);
      }
    }
  }
}

// Block (b, columns): to[token] += the token's rows of dy, added among themselves first, for every
// token whose places in sorted order begin in window b of kWarp places. Every warp finds the runs
// by itself; rows, and those of `to`, are on their way several at once, and added one by one.
template <class S, class G, int kWidth>
__global__ void __launch_bounds__(kThreads, 3)  // with 4 it spills
    add_runs(Sorted sorted, std::int32_t count, const S* __restrict__ dy, std::int64_t dy_stride,
             G* __restrict__ to, std::int64_t to_stride, std::int64_t width) {
  const std::int32_t begin = static_cast<std::int32_t>(blockIdx.x) * kWindow;
  const std::int32_t own = begin + static_cast<std::int32_t>(threadIdx.x % kWarp);
  const std::int64_t c = (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  const bool has_columns = c < width;
  const Lane mine = lane_at(sorted, own, count);
  const std::int32_t before = own == 0 ? kNoRow : lane_at(sorted, own - 1, count).token;
  Lane next = lane_at(sorted, own + kWindow, count);
  const unsigned begins = __ballot_sync(kAllLanes, mine.token != before && mine.token != kNoRow);
  if (begins == 0) {
    return;
  }
  const auto row_of = [&](std::int32_t place) { return dy + place * dy_stride + c; };
  const auto sum_of = [&](std::int32_t token) { return to + token * to_stride + c; };
  std::int32_t open = kNoRow;  // the token whose rows are added
  G* row = nullptr;            // its row of `to`: of a token nvcc would store packs in pieces
  G sum[kWidth] = {};
  G total[kWidth] = {};
  const auto close = [&] {
    if (has_columns && row != nullptr) {
      add_to(sum, total);
      store_pack(total, row);
    }
  };
  const std::int32_t size = count - begin < kWindow ? count - begin : kWindow;
  for (std::int32_t first = __ffs(begins) - 1; first < size; first += kRows) {
    G rows[kRows][kWidth];
    G totals[kRows][kWidth];
    std::int32_t tokens[kRows];  // kNoRow where the run goes on
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      const std::int32_t from = (first + j) % kWindow;
      const std::int32_t place = __shfl_sync(kAllLanes, mine.place, from);
      const std::int32_t token = __shfl_sync(kAllLanes, mine.token, from);
      const bool is_there = first + j < size;
      tokens[j] = is_there && (begins >> from & 1U) != 0 ? token : kNoRow;
      if (has_columns && is_there) {
        load_pack(row_of(place), rows[j]);
      }
      if (has_columns && tokens[j] != kNoRow) {
        load_pack(sum_of(token), totals[j]);
      }
    }
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      if (tokens[j] != kNoRow) {
        close();
        open = tokens[j];
        row = sum_of(open);
        copy_to(rows[j], sum);
        copy_to(totals[j], total);
      } else if (first + j < size) {
        add_to(rows[j], sum);
      }
    }
  }
  // The last run may go on behind the window.
  std::int32_t length = kWindow;
  for (std::int32_t p = own + kWindow; length == kWindow; p += kWindow) {
    const Lane more = next;
    next = lane_at(sorted, p + kWindow, count);
    const unsigned others = __ballot_sync(kAllLanes, more.token != open);
    length = others == 0 ? kWindow : __ffs(others) - 1;
    add_lanes(more.place, length, has_columns, row_of, sum);
  }
  close();
}

// Block (u, columns): to[ids[u]] += rows[u]; all ids are different.
template <class G, int kWidth>
__global__ void __launch_bounds__(kThreads)
    add_at(const std::int32_t* __restrict__ ids, const G* __restrict__ rows,
           std::int64_t rows_stride, G* __restrict__ to, std::int64_t to_stride,
           std::int64_t width) {
  const std::int64_t u = blockIdx.x;
  const std::int64_t c = (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  if (c >= width) {
    return;
  }
  G* row = to + ids[u] * to_stride + c;
  G more[kWidth];
  G total[kWidth];
  load_pack(rows + u * rows_stride + c, more);
  load_pack(row, total);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    total[e] += more[e];
  }
  store_pack(total, row);
}

template <class E, class S>
void gather(const Stream& stream, const TensorView& tokens, const TensorView& weight,
            const TensorView& y) {
  // By y, whose elements are the wider ones: wider packs would write it by half sectors.
  const bool packed = y.cols() % kPack<S> == 0 && lies_on(kPack<S>, weight, y);
  for_width<kPack<S>>(packed, [&](auto width) {
    gpu_launch(stream, gather_rows<E, S, decltype(width)::value>,
               dim3(blocks_for(y.rows(), kTokens)), dim3(kWarp, kTokens), 0,
               tokens.as<std::int32_t>(), weight.as<E>(), weight.row_stride, weight.rows(),
               y.as<S>(), y.row_stride, y.rows(), y.cols());
  });
}

// Merged from one half of `order` [4, T] into the other and back; returns the half that is sorted.
Sorted sort_places(const Stream& stream, const TensorView& tokens, const TensorView& order) {
  FS_CHECK(tokens.num_elements() <= kMostTokens, "more tokens than their places are sorted with");
  const auto count = static_cast<std::int32_t>(tokens.num_elements());
  auto* const memory = order.as<std::int32_t>();
  Sorted sorted{memory, memory + count};
  Sorted other{memory + 2 * static_cast<std::int64_t>(count),
               memory + 3 * static_cast<std::int64_t>(count)};
  const dim3 tiles(blocks_for(count, kTile));
  gpu_launch(stream, sort_tiles, tiles, dim3(kTile), 0, tokens.as<std::int32_t>(), count, sorted);
  for (std::int64_t run = kTile; run < count; run *= kWays) {
    gpu_launch(stream, merge_runs, tiles, dim3(kTile), 0, sorted, static_cast<std::int32_t>(run),
               count, other);
    std::swap(sorted, other);
  }
  return sorted;
}

template <class S, class G>
void add_gradient(const Stream& stream, const Sorted& sorted, std::int64_t count,
                  const TensorView& dy, const TensorView& to) {
  // By the wider type: wider packs would move it by half sectors.
  const bool packed = to.cols() % kPack<G> == 0 && lies_on(kPack<G>, dy, to);
  for_width<kPack<G>>(packed, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(stream, add_runs<S, G, kWidth>,
               dim3(blocks_for(count, kWindow), blocks_for(to.cols(), kThreads * kWidth)),
               dim3(kThreads), 0, sorted, static_cast<std::int32_t>(count), dy.as<S>(),
               dy.row_stride, to.as<G>(), to.row_stride, to.cols());
  });
}

template <class G>
void add_rows_of(const Stream& stream, const TensorView& ids, const TensorView& rows,
                 const TensorView& to) {
  const bool packed = to.cols() % kPack<G> == 0 && lies_on(kPack<G>, rows, to);
  for_width<kPack<G>>(packed, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    gpu_launch(
        stream, add_at<G, kWidth>,
        dim3(static_cast<unsigned>(ids.num_elements()), blocks_for(to.cols(), kThreads * kWidth)),
        dim3(kThreads), 0, ids.as<std::int32_t>(), rows.as<G>(), rows.row_stride, to.as<G>(),
        to.row_stride, to.cols());
  });
}

}  // namespace

void embedding_forward(const Stream& stream, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y) {
  if (y.num_elements() == 0) {
    return;
  }
  if (y.dtype == DType::kF32 && weight.dtype == DType::kBf16) {
    gather<Bf16, float>(stream, tokens, weight, y);
    return;
  }
  if (weight.dtype != y.dtype) {
    throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for embedding_forward of ") +
                                        dtype_name(weight.dtype) + " into " + dtype_name(y.dtype));
  }
  for_storage(y.dtype, "embedding_forward", [&](auto tag) {
    using S = typename decltype(tag)::type;
    gather<S, S>(stream, tokens, weight, y);
  });
}

void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& order, const TensorView& to) {
  const std::int64_t count = tokens.num_elements();
  if (count == 0 || to.cols() == 0) {
    return;
  }
  const Sorted sorted = sort_places(stream, tokens, order);
  if (to.dtype == DType::kF64 && dy.dtype == DType::kF64) {
    add_gradient<double, double>(stream, sorted, count, dy, to);
  } else if (to.dtype == DType::kF32 && dy.dtype == DType::kF32) {
    add_gradient<float, float>(stream, sorted, count, dy, to);
  } else if (to.dtype == DType::kF32 && dy.dtype == DType::kBf16) {
    add_gradient<Bf16, float>(stream, sorted, count, dy, to);
  } else {
    throw Error(ErrorKind::kDevice, std::string("no CUDA kernel for embedding_backward of ") +
                                        dtype_name(dy.dtype) + " into " + dtype_name(to.dtype));
  }
}

void add_rows(const Stream& stream, const TensorView& ids, const TensorView& rows,
              const TensorView& to) {
  if (rows.num_elements() == 0) {
    return;
  }
  to.dtype == DType::kF64 ? add_rows_of<double>(stream, ids, rows, to)
                          : add_rows_of<float>(stream, ids, rows, to);
}

}  // namespace finescale::cuda
