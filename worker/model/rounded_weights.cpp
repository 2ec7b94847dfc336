// SPDX-License-Identifier: Apache-2.0
#include "worker/model/rounded_weights.h"

#include "core/paged_memory.h"
#include "kernels/round.h"

namespace finescale {

RoundedWeights::RoundedWeights(const ModelLayout& layout, const ParameterSet& weights,
                               const std::function<bool(int tensor)>& is_frozen,
                               const Stream& stream, bool has_table)
    : weights_(&weights), has_table_(has_table) {
  const auto add = [&](const StackIndex& stack, bool is_looked_up) {
    const int unit = weights.unit_of(stack.first);
    bool is_kept = weights.is_stored(stack.first);
    std::int64_t rows = 0;
    for (int index = stack.first; index <= stack.last; ++index) {
      rows += weights.local_shape(index)[0];
      is_kept = is_kept && is_frozen(index);
    }
    for (int index = stack.bias_first; index >= 0 && index <= stack.bias_last; ++index) {
      is_kept = is_kept && is_frozen(index);
    }
    if (!is_kept) {
      return;
    }
    Matrix& matrix = matrices_[stack.first];
    matrix.last_tensor = stack.last;
    matrix.unit = unit;
    matrix.is_looked_up = is_looked_up;
    matrix.rounded.shape = Shape{rows, weights.local_shape(stack.first)[1]};
    replaced_bytes_ += is_looked_up ? 0
                                    : static_cast<std::size_t>(matrix.rounded.num_elements()) *
                                          dtype_size(weights.dtype());
  };
  for (int i = 0; i < layout.num_layers(); ++i) {
    const LayerIndex& layer = layout.layer(i);
    for (const StackIndex* stack : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      add(*stack, false);
    }
  }
  const bool is_one = layout.shape().tied && layout.part().has_embedding;  // table and head
  if (layout.part().has_head) {
    add(layout.head(), is_one && !has_table);
  }
  if (has_table && layout.part().has_embedding && !(layout.part().has_head && is_one)) {
    add(layout.embedding(), false);
  }
  std::int64_t size = 0;
  for (auto& [first, matrix] : matrices_) {
    const std::int64_t stride = rounded_stride(matrix.rounded.cols());
    matrix.rounded.dtype = DType::kBf16;
    matrix.rounded.row_stride = stride;
    size += matrix.rounded.rows() * stride;
  }
  memory_ = AlignedBuffer(static_cast<std::size_t>(size) * dtype_size(DType::kBf16), stream);
  auto* place = static_cast<std::uint16_t*>(memory_.data());
  for (auto& [first, matrix] : matrices_) {
    matrix.rounded.data = place;
    place += matrix.rounded.rows() * matrix.rounded.row_stride;
  }
}

template <class Visit>
void RoundedWeights::for_each(int unit, const UnitBlocks& values, Visit&& visit) const {
  for (const auto& [first, matrix] : matrices_) {
    if (matrix.unit == unit) {
      visit(matrix, first == matrix.last_tensor
                        ? weights_->view_in(values, first)
                        : weights_->stack_in(values, first, matrix.last_tensor));
    }
  }
}

void RoundedWeights::round(const Stream& stream, int unit, const UnitBlocks& values) {
  for_each(unit, values, [&](const Matrix& matrix, const TensorView& value) {
    round_to_bf16(stream, value, matrix.rounded);
  });
}

void RoundedWeights::replace(const Stream& stream, int unit, const UnitBlocks& values) {
  for_each(unit, values, [&](const Matrix& matrix, const TensorView& value) {
    round_to_bf16(stream, value, matrix.rounded);
    if (!matrix.is_looked_up) {
      clear_pages(value.data, value.size_bytes());
    }
  });
}

TensorView RoundedWeights::find(int first_tensor) const {
  const auto found = matrices_.find(first_tensor);
  return found == matrices_.end() ? TensorView() : found->second.rounded;
}

}  // namespace finescale
