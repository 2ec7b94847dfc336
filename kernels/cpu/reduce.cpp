// SPDX-License-Identifier: Apache-2.0
// Sums run over fixed blocks in double precision and then over a fixed binary tree of blocks, so no
// bit depends on the number of threads or on the vector width: eight partial sums per block are
// part of the definition.
#include "kernels/reduce.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

constexpr std::int64_t kBlock = 4096;
constexpr std::int64_t kNormGrain = 64;  // blocks of kNormBlock: as much work as four of kBlock

template <class T, bool kSquare>
double block_sum(const T* x, std::int64_t count) {
  std::array<double, 8> parts{};
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (std::int64_t lane = 0; lane < 8; ++lane) {
      const double value = x[i + lane];
      parts[static_cast<std::size_t>(lane)] += kSquare ? value * value : value;
    }
  }
  for (std::int64_t lane = 0; i + lane < count; ++lane) {
    const double value = x[i + lane];
    parts[static_cast<std::size_t>(lane)] += kSquare ? value * value : value;
  }
  return ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
         ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

double tree_sum(std::span<const double> values) {
  if (values.size() <= 1) {
    return values.empty() ? 0 : values[0];
  }
  const std::size_t half = (values.size() + 1) / 2;
  return tree_sum(values.first(half)) + tree_sum(values.subspan(half));
}

template <bool kSquare>
double total(const TensorView& x) {
  const std::int64_t count = x.num_elements();
  const std::int64_t blocks = (count + kBlock - 1) / kBlock;
  thread_local std::vector<double> sums;
  sums.resize(static_cast<std::size_t>(blocks));
  double* out = sums.data();
  parallel_for(blocks, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t size = std::min(kBlock, count - block * kBlock);
      out[block] = x.dtype == DType::kF64
                       ? block_sum<double, kSquare>(x.as<double>() + block * kBlock, size)
                       : block_sum<float, kSquare>(x.as<float>() + block * kBlock, size);
    }
  });
  return tree_sum(sums);
}

template <class T>
void axpy_range(T alpha, const T* __restrict x, T* __restrict y, std::int64_t begin,
                std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    y[i] += alpha * x[i];
  }
}

template <class T>
std::int32_t argmax(const T* row, std::int64_t count) {
  static constexpr std::int64_t kChunk = 1024;  // within the nearest cache: looked through twice
  static constexpr std::int64_t kLanes = 16;
  T best = row[0];
  std::int64_t first = 0;  // where the chunk with the largest begins
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t end = std::min(begin + kChunk, count);
    std::array<T, kLanes> largest;
    largest.fill(best);
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        const T value = row[i + lane];
        T& most = largest[static_cast<std::size_t>(lane)];
        most = value > most ? value : most;
      }
    }
    for (; i < end; ++i) {
      largest[0] = row[i] > largest[0] ? row[i] : largest[0];
    }
    const T most = *std::max_element(largest.begin(), largest.end());
    first = most > best ? begin : first;
    best = most > best ? most : best;
  }
  std::int64_t index = first;
  while (index + 1 < count && row[index] != best) {
    ++index;
  }
  return static_cast<std::int32_t>(std::isnan(best) ? 0 : index);  // a row that begins with NaN
}

}  // namespace

double squared_norm(const Stream& /*stream*/, const TensorView& x) {
  return total<true>(x);
}

void squared_norm_blocks(const Stream& /*stream*/, const TensorView& x, ExactSum& total) {
  const std::int64_t count = x.num_elements();
  std::mutex mutex;
  parallel_for(
      (count + kNormBlock - 1) / kNormBlock, kNormGrain, [&](std::int64_t begin, std::int64_t end) {
        ExactSum sum;
        for (std::int64_t block = begin; block < end; ++block) {
          const std::int64_t at = block * kNormBlock;
          const std::int64_t size = std::min(kNormBlock, count - at);
          sum.add(x.dtype == DType::kF64 ? block_sum<double, true>(x.as<double>() + at, size)
                                         : block_sum<float, true>(x.as<float>() + at, size));
        }
        const std::scoped_lock lock(mutex);
        total.merge(sum);
      });
}

double sum(const Stream& /*stream*/, const TensorView& x) {
  return total<false>(x);
}

void add_in_place(const Stream& stream, const TensorView& x, const TensorView& y) {
  cpu::axpy(stream, 1.0, x, y);
}

void axpy(const Stream& /*stream*/, double alpha, const TensorView& x, const TensorView& y) {
  parallel_for(x.num_elements(), 16384, [&](std::int64_t begin, std::int64_t end) {
    x.dtype == DType::kF64
        ? axpy_range(alpha, x.as<double>(), y.as<double>(), begin, end)
        : axpy_range(static_cast<float>(alpha), x.as<float>(), y.as<float>(), begin, end);
  });
}

void fill_zero(const Stream& /*stream*/, const TensorView& x) {
  if (!x.is_dense()) {
    const std::size_t width = static_cast<std::size_t>(x.cols()) * dtype_size(x.dtype);
    for (std::int64_t row = 0; row < x.rows(); ++row) {
      std::memset(x.row_range(row, row + 1).data, 0, width);
    }
    return;
  }
  const std::int64_t size = static_cast<std::int64_t>(x.size_bytes());
  parallel_for(size, 1 << 18, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<std::byte*>(x.data) + begin, 0, static_cast<std::size_t>(end - begin));
  });
}

void copy(const Stream& /*stream*/, const TensorView& from, const TensorView& to) {
  const std::size_t element = dtype_size(from.dtype);
  if (from.is_dense() && to.is_dense()) {
    std::memcpy(to.data, from.data, from.size_bytes());
    return;
  }
  for (std::int64_t row = 0; row < from.rows(); ++row) {
    std::memcpy(to.row_range(row, row + 1).data, from.row_range(row, row + 1).data,
                static_cast<std::size_t>(from.cols()) * element);
  }
}

void argmax_rows(const Stream& /*stream*/, const TensorView& logits, const TensorView& indices) {
  const std::int64_t grain = 1 + (1 << 16) / (logits.cols() + 1);  // rows worth waking a thread
  parallel_for(logits.rows(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      indices.as<std::int32_t>()[row] =
          logits.dtype == DType::kF64
              ? argmax(logits.as<double>() + row * logits.row_stride, logits.cols())
              : argmax(logits.as<float>() + row * logits.row_stride, logits.cols());
    }
  });
}

}  // namespace finescale::cpu
