// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace finescale::cpu {

namespace {

struct Gathered {                  // reused from call to call: no allocation in the steady state
  std::vector<std::int32_t> rows;  // positions with a label, ascending
  std::vector<std::int32_t> labels;
  std::vector<std::byte> weights;
  std::vector<std::byte> losses;
  std::vector<std::int32_t> local_labels;  // of a chunk, relative to the part of the vocabulary
  std::vector<std::byte> statistics;       // of a chunk: this rank's, then the whole vocabulary's
};

// Labels of a chunk relative to the part of the vocabulary.
TensorView local_labels(const TensorView& labels, std::int64_t begin, Gathered& work) {
  work.local_labels.resize(static_cast<std::size_t>(labels.num_elements()));
  for (std::size_t r = 0; r < work.local_labels.size(); ++r) {
    work.local_labels[r] = static_cast<std::int32_t>(labels.as<std::int32_t>()[r] - begin);
  }
  return {work.local_labels.data(), DType::kI32, {labels.num_elements()}};
}

void gather_labels(const TensorView& labels, const TensorView& weights, Gathered& out) {
  const std::int64_t tokens = labels.num_elements();
  out.rows.clear();
  out.labels.clear();
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int32_t label = labels.as<std::int32_t>()[t];
    if (label != kIgnoreLabel) {
      out.rows.push_back(static_cast<std::int32_t>(t));
      out.labels.push_back(label);
    }
  }
  if (!weights.empty()) {
    const std::size_t size = dtype_size(weights.dtype);
    out.weights.resize(out.rows.size() * size);
    for (std::size_t i = 0; i < out.rows.size(); ++i) {
      std::memcpy(out.weights.data() + i * size,
                  static_cast<const std::byte*>(weights.data) +
                      static_cast<std::size_t>(out.rows[i]) * size,
                  size);
    }
  }
}

// to[i] = from[rows[i]] (gather) or to[rows[i]] = from[i] (scatter).
void move_rows(const std::vector<std::int32_t>& rows, const TensorView& from, const TensorView& to,
               bool gather) {
  const std::size_t size = static_cast<std::size_t>(from.cols()) * dtype_size(from.dtype);
  parallel_for(static_cast<std::int64_t>(rows.size()), 256,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t far = rows[static_cast<std::size_t>(i)];
                   const std::int64_t source = gather ? far : i;
                   const std::int64_t target = gather ? i : far;
                   std::memcpy(to.row_range(target, target + 1).data,
                               from.row_range(source, source + 1).data, size);
                 }
               });
}

// Loss and gradient of one chunk's logits when other ranks hold the rest of the vocabulary.
void part_of_chunk(const Stream& stream, const TensorView& logits, const TensorView& labels,
                   const TensorView& weights, double scale, const TensorView& losses,
                   bool want_gradient, const VocabularyPart& part, Gathered& work) {
  const std::int64_t rows = logits.rows();
  const std::size_t bytes = static_cast<std::size_t>(3 * rows) * dtype_size(logits.dtype);
  work.statistics.resize(2 * bytes);
  const TensorView local = local_labels(labels, part.begin, work);
  const TensorView own(work.statistics.data(), logits.dtype, {rows, 3});
  const TensorView whole(work.statistics.data() + bytes, logits.dtype, {rows, 3});
  finescale::cross_entropy_statistics(stream, logits, local, own, want_gradient);
  std::memcpy(whole.data, own.data, bytes);
  part.combine(whole);
  finescale::cross_entropy_finish(stream, logits, local, weights, scale, own, whole, losses,
                                  want_gradient ? logits : TensorView());
}

// Loss and gradient of one chunk's logits against those of a teacher, x: its rows of the chunk.
void learn_from(const Stream& stream, const TeacherRows& teacher, const TensorView& x,
                const TensorView& logits, const TensorView& labels, const TensorView& weights,
                double scale, const TensorView& losses, bool want_gradient,
                const VocabularyPart* part, Gathered& work) {
  const std::int64_t rows = logits.rows();
  const TensorView theirs = teacher.scratch.row_range(0, rows);
  finescale::gemm(stream, Transpose::kNo, Transpose::kYes, 1, x, teacher.weight, 0, theirs);
  if (!teacher.bias.empty()) {
    finescale::bias_add(stream, teacher.bias, theirs);
  }
  work.statistics.resize(static_cast<std::size_t>(kDivergenceStatistics * rows) *
                         dtype_size(logits.dtype));
  const TensorView statistics(work.statistics.data(), logits.dtype, {rows, kDivergenceStatistics});
  const TensorView local = local_labels(labels, part == nullptr ? 0 : part->begin, work);
  finescale::divergence_statistics(stream, teacher.rule, logits, theirs, local, statistics);
  if (part != nullptr) {
    part->combine(statistics);
  }
  finescale::divergence_finish(stream, teacher.rule, logits, theirs, local, weights, scale,
                               statistics, losses, want_gradient);
}

template <class T>
void combine(const T* parts, std::int64_t ranks, std::int64_t rows, T* out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    T most = parts[3 * r];
    for (std::int64_t rank = 1; rank < ranks; ++rank) {
      most = std::max(most, parts[3 * (rank * rows + r)]);
    }
    T sum = 0;
    T target = 0;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const T* part = parts + 3 * (rank * rows + r);
      sum += part[1] * std::exp(part[0] - most);
      target += part[2];  // zero on all ranks but one
    }
    out[3 * r] = most;
    out[3 * r + 1] = sum;
    out[3 * r + 2] = target;
  }
}

}  // namespace

void cross_entropy_combine(const Stream& /*stream*/, const TensorView& parts,
                           const TensorView& whole) {
  const std::int64_t rows = whole.rows();
  const std::int64_t ranks = rows == 0 ? 0 : parts.rows() / rows;
  whole.dtype == DType::kF64 ? combine(parts.as<double>(), ranks, rows, whole.as<double>())
                             : combine(parts.as<float>(), ranks, rows, whole.as<float>());
}

void linear_cross_entropy(const Stream& stream, const TensorView& x, const TensorView& weight,
                          const TensorView& labels, const TensorView& weights, double scale,
                          const TensorView& losses, const TensorView& dx, const TensorView& dweight,
                          const TensorView& gathered, const TensorView& scratch,
                          const VocabularyPart* part, const HeadBias* bias,
                          const TeacherRows* teacher) {
  thread_local Gathered work;
  gather_labels(labels, weights, work);
  const auto scored = static_cast<std::int64_t>(work.rows.size());
  const bool all = scored == x.rows();
  const std::size_t element = dtype_size(x.dtype);
  work.losses.resize(static_cast<std::size_t>(scored) * element);
  const TensorView compact_x = all ? x : gathered.row_range(0, scored);
  if (!all) {
    move_rows(work.rows, x, compact_x, true);
  }
  const bool want_gradient = !dx.empty();
  const std::int64_t chunk = scratch.rows();
  FS_CHECK(chunk > 0 || scored == 0, "no scratch for logits");
  for (std::int64_t begin = 0; begin < scored; begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, scored);
    const TensorView rows = compact_x.row_range(begin, end);
    const TensorView logits = scratch.row_range(0, end - begin);
    finescale::gemm(stream, Transpose::kNo, Transpose::kYes, 1, rows, weight, 0, logits);
    if (bias != nullptr) {
      finescale::bias_add(stream, bias->value, logits);
    }
    const TensorView chunk_labels(work.labels.data() + begin, DType::kI32, {end - begin});
    TensorView chunk_weights;
    if (!weights.empty()) {
      chunk_weights = TensorView(work.weights.data() + static_cast<std::size_t>(begin) * element,
                                 x.dtype, {end - begin});
    }
    const TensorView chunk_losses(work.losses.data() + static_cast<std::size_t>(begin) * element,
                                  x.dtype, {end - begin});
    if (teacher != nullptr) {
      learn_from(stream, *teacher, teacher->x.row_range(begin, end), logits, chunk_labels,
                 chunk_weights, scale, chunk_losses, want_gradient, part, work);
    } else if (part == nullptr) {
      finescale::cross_entropy_in_place(stream, logits, chunk_labels, chunk_weights, scale,
                                        chunk_losses, want_gradient ? logits : TensorView());
    } else {
      part_of_chunk(stream, logits, chunk_labels, chunk_weights, scale, chunk_losses, want_gradient,
                    *part, work);
    }
    if (want_gradient) {
      if (bias != nullptr && !bias->gradient.empty()) {
        finescale::bias_gradient(stream, logits, bias->gradient);
      }
      if (!dweight.empty()) {
        finescale::gemm(stream, Transpose::kYes, Transpose::kNo, 1, logits, rows, 1, dweight);
      }
      // With every row scored x may not be overwritten (dweight of later chunks needs it), so dx is
      // written directly.
      finescale::gemm(stream, Transpose::kNo, Transpose::kNo, 1, logits, weight, 0,
                      all ? dx.row_range(begin, end) : compact_x.row_range(begin, end));
    }
  }
  finescale::fill_zero(stream, losses);
  for (std::size_t i = 0; i < work.rows.size(); ++i) {
    std::memcpy(
        static_cast<std::byte*>(losses.data) + static_cast<std::size_t>(work.rows[i]) * element,
        work.losses.data() + i * element, element);
  }
  if (want_gradient && !all) {
    finescale::fill_zero(stream, dx);
    move_rows(work.rows, compact_x, dx, false);
  }
}

}  // namespace finescale::cpu
