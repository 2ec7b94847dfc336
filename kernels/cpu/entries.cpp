// SPDX-License-Identifier: Apache-2.0
#include "kernels/entries.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

constexpr std::int64_t kGrain = 4096;  // scattered reads: worth a thread earlier than rows are

// Calls visit(index of the entry, row in the part, column in the part) for those that are not in
// front of it.
template <class T, class Visit>
void for_each_entry(const Entries& entries, const Visit& visit) {
  const T* const places = entries.places.as<T>();
  const std::int64_t count = entries.places.rows();
  parallel_for(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto row = static_cast<std::int64_t>(places[2 * i]) - entries.first_row;
      const auto column = static_cast<std::int64_t>(places[2 * i + 1]) - entries.first_column;
      if (row >= 0 && column >= 0) {
        visit(i, row, column);
      }
    }
  });
}

template <class T>
void gather(const Entries& entries, const TensorView& part, const TensorView& values) {
  for_each_entry<T>(entries, [&](std::int64_t i, std::int64_t row, std::int64_t column) {
    if (row < part.rows() && column < part.cols()) {
      values.as<T>()[i] += part.as<T>()[row * part.row_stride + column];
    }
  });
}

template <class T>
void scatter(const Entries& entries, const TensorView& values, std::int64_t columns,
             std::int64_t begin, const TensorView& kept) {
  const std::int64_t count = kept.num_elements();
  for_each_entry<T>(entries, [&](std::int64_t i, std::int64_t row, std::int64_t column) {
    const std::int64_t at = row * columns + column - begin;
    if (column < columns && at >= 0 && at < count) {
      kept.as<T>()[at] = values.as<T>()[i];
    }
  });
}

template <class T>
void add_steps(const TensorView& part, const TensorView& sums) {
  const std::int64_t grain = 1 + kGrainElements / std::max<std::int64_t>(1, part.cols());
  parallel_for(part.rows(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* const from = part.as<T>() + row * part.row_stride;
      double* const to = sums.as<double>() + row * sums.row_stride;
      for (std::int64_t c = 0; c < part.cols(); ++c) {
        to[c] += std::nearbyint(static_cast<double>(from[c]) / kSumStep);
      }
    }
  });
}

}  // namespace

void gather_entries(const Stream& /*stream*/, const Entries& entries, const TensorView& part,
                    const TensorView& values) {
  FS_CHECK(entries.places.rows() == values.num_elements() && part.dtype == values.dtype &&
               entries.places.dtype == values.dtype,
           "entries " + entries.places.shape.text() + " of " + values.shape.text());
  values.dtype == DType::kF64 ? gather<double>(entries, part, values)
                              : gather<float>(entries, part, values);
}

void scatter_entries(const Stream& /*stream*/, const Entries& entries, const TensorView& values,
                     std::int64_t columns, std::int64_t begin, const TensorView& kept) {
  FS_CHECK(entries.places.rows() == values.num_elements() && kept.dtype == values.dtype &&
               entries.places.dtype == values.dtype,
           "entries " + entries.places.shape.text() + " of " + values.shape.text());
  values.dtype == DType::kF64 ? scatter<double>(entries, values, columns, begin, kept)
                              : scatter<float>(entries, values, columns, begin, kept);
}

void add_in_steps(const Stream& /*stream*/, const TensorView& part, const TensorView& sums) {
  FS_CHECK(part.shape == sums.shape && sums.dtype == DType::kF64,
           "sums of " + part.shape.text() + " in " + sums.shape.text());
  part.dtype == DType::kF64 ? add_steps<double>(part, sums) : add_steps<float>(part, sums);
}

}  // namespace finescale::cpu
