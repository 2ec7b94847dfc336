// SPDX-License-Identifier: Apache-2.0
// Bound by memory: the compiler's copies and additions are as fast as hand-written vectors.
#include "kernels/embedding.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

// Where each token's row goes: place[t] in the compact rows, kNoRow for none. `ids` receives the
// tokens by place. Reused from call to call: no allocation in the steady state.
std::int32_t place_tokens(const TensorView& tokens, std::int32_t* ids,
                          std::vector<std::int32_t>& place) {
  thread_local std::vector<std::int32_t> seen;  // by token, kNoRow between calls
  place.resize(static_cast<std::size_t>(tokens.num_elements()));
  std::int32_t count = 0;
  for (std::size_t t = 0; t < place.size(); ++t) {
    const std::int32_t id = tokens.as<std::int32_t>()[t];
    if (id == kNoRow) {
      place[t] = kNoRow;
      continue;
    }
    const auto index = static_cast<std::size_t>(id);
    if (index >= seen.size()) {
      seen.resize(index + 1, kNoRow);
    }
    if (seen[index] == kNoRow) {
      seen[index] = count;
      ids[count++] = id;
    }
    place[t] = seen[index];
  }
  for (std::int32_t u = 0; u < count; ++u) {
    seen[static_cast<std::size_t>(ids[u])] = kNoRow;
  }
  return count;
}

// Columns [begin, end) of every row: threads share no column, so rows are added in the order of T
// by each of them. A place is never behind the row that fills it, so rows may be dy.
template <class T>
void gather_columns(const std::vector<std::int32_t>& place, const TensorView& dy,
                    const TensorView& rows, std::int64_t begin, std::int64_t end) {
  const std::size_t bytes = static_cast<std::size_t>(end - begin) * sizeof(T);
  std::int32_t filled = 0;
  for (std::size_t t = 0; t < place.size(); ++t) {
    if (place[t] == kNoRow) {
      continue;
    }
    const T* from = dy.as<T>() + static_cast<std::int64_t>(t) * dy.row_stride;
    T* to = rows.as<T>() + place[t] * rows.row_stride;
    if (place[t] == filled) {
      ++filled;
      if (to != from) {
        std::memcpy(to + begin, from + begin, bytes);
      }
      continue;
    }
#pragma GCC ivdep
    for (std::int64_t c = begin; c < end; ++c) {
      to[c] += from[c];
    }
  }
}

template <class T>
void add_columns(const TensorView& ids, const TensorView& rows, const TensorView& to,
                 std::int64_t begin, std::int64_t end) {
  for (std::int64_t u = 0; u < ids.num_elements(); ++u) {
    const T* __restrict source = rows.as<T>() + u * rows.row_stride;
    T* __restrict sum = to.as<T>() + ids.as<std::int32_t>()[u] * to.row_stride;
    for (std::int64_t c = begin; c < end; ++c) {
      sum[c] += source[c];
    }
  }
}

void look_up(const TensorView& weight, std::int32_t id, const TensorView& to) {
  FS_CHECK(id >= 0 && id < weight.rows(),
           "token id " + std::to_string(id) + " is outside the vocabulary");
  const TensorView from = weight.row_range(id, id + 1);
  if (from.dtype == to.dtype) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(to.cols()) * dtype_size(to.dtype));
    return;
  }
  const auto* __restrict upper = from.as<std::uint16_t>();  // half of an f32
  auto* __restrict row = to.as<float>();
  for (std::int64_t c = 0; c < to.cols(); ++c) {
    row[c] = std::bit_cast<float>(static_cast<std::uint32_t>(upper[c]) << 16);
  }
}

}  // namespace

void embedding_forward(const Stream& /*stream*/, const TensorView& tokens, const TensorView& weight,
                       const TensorView& y) {
  FS_CHECK(weight.dtype == y.dtype || (weight.dtype == DType::kBf16 && y.dtype == DType::kF32),
           "tokens are looked up in their own type, or in bf16 for f32");
  const std::size_t row_bytes = static_cast<std::size_t>(y.cols()) * dtype_size(y.dtype);
  const std::int32_t* ids = tokens.as<std::int32_t>();
  parallel_for(y.rows(), 1 + 65536 / (y.cols() + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const TensorView row = y.row_range(t, t + 1);
      if (ids[t] == kNoRow) {
        std::memset(row.data, 0, row_bytes);
      } else {
        look_up(weight, ids[t], row);
      }
    }
  });
}

std::int64_t embedding_gather_gradient(const Stream& /*stream*/, const TensorView& tokens,
                                       const TensorView& dy, const TensorView& ids,
                                       const TensorView& rows) {
  thread_local std::vector<std::int32_t> place_of_token;
  std::vector<std::int32_t>& place = place_of_token;  // this thread's, also for its team
  const std::int32_t count = place_tokens(tokens, ids.as<std::int32_t>(), place);
  parallel_for(dy.cols(), 32, [&](std::int64_t begin, std::int64_t end) {
    dy.dtype == DType::kF64 ? gather_columns<double>(place, dy, rows, begin, end)
                            : gather_columns<float>(place, dy, rows, begin, end);
  });
  return count;
}

void add_rows(const Stream& /*stream*/, const TensorView& ids, const TensorView& rows,
              const TensorView& to) {
  parallel_for(to.cols(), 32, [&](std::int64_t begin, std::int64_t end) {
    to.dtype == DType::kF64 ? add_columns<double>(ids, rows, to, begin, end)
                            : add_columns<float>(ids, rows, to, begin, end);
  });
}

}  // namespace finescale::cpu
