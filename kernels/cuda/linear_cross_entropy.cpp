// SPDX-License-Identifier: Apache-2.0
// The head and the loss in chunks of scored rows, as on the CPU: the host knows from the labels
// which rows they are, so nothing waits for the GPU.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/transfer.h"
#include "kernels/bias.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

namespace {

TensorView part_of(const TensorView& vector, std::int64_t begin, std::int64_t end) {
  return {vector.as<std::byte>() + static_cast<std::size_t>(begin) * dtype_size(vector.dtype),
          vector.dtype, Shape{end - begin}};
}

TensorView as_column(const TensorView& vector) {
  return {vector.data, vector.dtype, Shape{vector.num_elements(), 1}};
}

struct Scored {  // in the GPU's memory, one for each row with a label
  TensorView rows;
  TensorView labels;
  TensorView weights;  // or empty
  TensorView losses;
};

struct Head {
  const TensorView& weight;
  const TensorView& dweight;  // or empty
  const HeadBias* bias;
  const VocabularyPart* part;  // or null
  TensorView own;              // statistics [R, 3] of a part
  TensorView whole;            // and of the whole vocabulary
};

// Of the logits of one chunk; gradient may be empty.
void loss_of(const Stream& stream, const Head& head, const Scored& scored, double scale,
             const TensorView& logits, const TensorView& gradient) {
  if (head.part == nullptr) {
    finescale::cross_entropy_in_place(stream, logits, scored.labels, scored.weights, scale,
                                      scored.losses, gradient);
    return;
  }
  const TensorView own = head.own.row_range(0, logits.rows());
  const TensorView whole = head.whole.row_range(0, logits.rows());
  finescale::cross_entropy_statistics(stream, logits, scored.labels, own, !gradient.empty());
  finescale::copy(stream, own, whole);
  head.part->combine(whole);
  finescale::cross_entropy_finish(stream, logits, scored.labels, scored.weights, scale, own, whole,
                                  scored.losses, gradient);
}

// x [R, C] of one chunk; its gradient goes to dx [R, C], which may be x.
void one_chunk(const Stream& stream, const Head& head, const Scored& scored, double scale,
               const TensorView& x, const TensorView& logits, const TensorView& dx) {
  const TensorView gradient = dx.empty() ? TensorView() : gradient_of_logits(stream, logits);
  finescale::gemm(stream, Transpose::kNo, Transpose::kYes, 1, x, head.weight, 0, logits);
  if (head.bias != nullptr) {
    finescale::bias_add(stream, head.bias->value, logits);
  }
  loss_of(stream, head, scored, scale, logits, gradient);
  if (gradient.empty()) {
    return;
  }
  if (head.bias != nullptr && !head.bias->gradient.empty()) {
    finescale::bias_gradient(stream, gradient, head.bias->gradient);
  }
  const SharedOperand shared(stream, gradient);  // where it is not stored as one
  if (!head.dweight.empty()) {
    finescale::gemm(stream, Transpose::kYes, Transpose::kNo, 1, gradient, x, 1, head.dweight);
  }
  finescale::gemm(stream, Transpose::kNo, Transpose::kNo, 1, gradient, head.weight, 0, dx);
}

}  // namespace

void linear_cross_entropy(const Stream& stream, const TensorView& x, const TensorView& weight,
                          const TensorView& labels, const TensorView& weights, double scale,
                          const TensorView& losses, const TensorView& dx, const TensorView& dweight,
                          const TensorView& gathered, const TensorView& scratch,
                          const VocabularyPart* part, const HeadBias* bias,
                          const TeacherRows* /*teacher*/) {
  std::vector<std::int32_t> rows;  // then their labels, from the part's begin: one copy
  for (std::int64_t t = 0; t < labels.num_elements(); ++t) {
    if (labels.as<std::int32_t>()[t] != kIgnoreLabel) {
      rows.push_back(static_cast<std::int32_t>(t));
    }
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t label = labels.as<std::int32_t>()[rows[static_cast<std::size_t>(i)]];
    rows.push_back(label - static_cast<std::int32_t>(part == nullptr ? 0 : part->begin));
  }
  const bool weighted = !weights.empty();
  const ScratchTensors own(stream, {{DType::kI32, {2 * count}},
                                    {losses.dtype, {count}},
                                    {losses.dtype, {weighted ? count : 0}}});
  copy_to_device(stream, rows.data(), own[0].data, own[0].size_bytes());
  const Scored all{part_of(own[0], 0, count), part_of(own[0], count, 2 * count),
                   weighted ? own[2] : TensorView(), own[1]};
  if (weighted) {
    cuda::embedding_forward(stream, all.rows, as_column(weights), as_column(all.weights));
  }
  const bool is_dense = count == x.rows();  // then x itself is read, and dx written at once
  const TensorView scored_x = is_dense ? x : gathered.row_range(0, count);
  if (!is_dense) {
    cuda::embedding_forward(stream, all.rows, x, scored_x);
  }
  const SharedOperand shared(stream, weight);  // by all chunks
  const std::int64_t chunk = scratch.rows();
  FS_CHECK(chunk > 0 || count == 0, "no scratch for logits");
  const std::int64_t told = part == nullptr ? 0 : std::min(chunk, count);
  // The gradient of gathered rows takes their memory where it is stored as they are.
  const bool is_apart = !is_dense && !dx.empty() && dx.dtype != x.dtype;
  const ScratchTensors parts(stream,
                             {{losses.dtype, {told, 3}},
                              {losses.dtype, {told, 3}},
                              {dx.dtype, {is_apart ? std::min(chunk, count) : 0, x.cols()}}});
  if (!dx.empty() && !is_dense) {
    cuda::fill_zero(stream, dx);
  }
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, count);
    const Scored some{part_of(all.rows, begin, end), part_of(all.labels, begin, end),
                      weighted ? part_of(all.weights, begin, end) : TensorView(),
                      part_of(all.losses, begin, end)};
    TensorView to;
    if (!dx.empty()) {
      to = is_apart ? parts[2].row_range(0, end - begin)
                    : (is_dense ? dx : scored_x).row_range(begin, end);
    }
    one_chunk(stream, {weight, dweight, bias, part, parts[0], parts[1]}, some, scale,
              scored_x.row_range(begin, end), scratch.row_range(0, end - begin), to);
    if (!dx.empty() && !is_dense) {
      cuda::add_rows(stream, some.rows, to, dx);
    }
  }
  cuda::fill_zero(stream, losses);
  cuda::add_rows(stream, all.rows, as_column(all.losses), as_column(losses));
}

}  // namespace finescale::cuda
