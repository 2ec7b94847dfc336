// SPDX-License-Identifier: Apache-2.0
#include "worker/model/rounded_weights.h"

#include <algorithm>

#include "core/error.h"
#include "core/paged_memory.h"
#include "core/transfer.h"
#include "kernels/round.h"

namespace finescale {

namespace {

constexpr std::int64_t kFillElements = std::int64_t{1} << 20;  // that are f32 at once

// visit(stack, whether it is the table in which tokens are looked up: the head's too, where tied)
template <class Visit>
void for_each_matrix(const ModelLayout& layout, Visit&& visit) {
  for (int i = 0; i < layout.num_layers(); ++i) {
    const LayerIndex& layer = layout.layer(i);
    for (const StackIndex* stack : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      visit(*stack, false);
    }
  }
  const ModelPart& part = layout.part();
  const bool is_one = layout.shape().tied && part.has_embedding && part.has_head;
  if (part.has_head) {
    visit(layout.head(), is_one);
  }
  if (part.has_embedding && !is_one) {
    visit(layout.embedding(), true);
  }
}

}  // namespace

std::set<std::string> tensors_of_matrices(
    const ModelLayout& layout, const ParameterSet& weights,
    const std::function<bool(const std::string& tensor)>& holds) {
  std::set<std::string> names;
  for_each_matrix(layout, [&](const StackIndex& stack, bool /*is_looked_up*/) {
    bool all = true;
    for (int index = stack.first; index <= stack.last; ++index) {
      all = all && holds(weights.tensor(index).name);
    }
    for (int index = stack.first; all && index <= stack.last; ++index) {
      names.insert(weights.tensor(index).name);
    }
  });
  return names;
}

RoundedWeights::RoundedWeights(const ModelLayout& layout, const ParameterSet& weights,
                               const std::function<bool(int tensor)>& is_frozen,
                               const Stream& stream, bool has_table)
    : weights_(&weights), has_table_(has_table) {
  for_each_matrix(layout, [&](const StackIndex& stack, bool is_looked_up) {
    const bool is_head = layout.part().has_head && stack.first == layout.head().first;
    bool is_kept = weights.is_stored(stack.first) && (is_head || has_table || !is_looked_up);
    for (int index = stack.first; index <= stack.last; ++index) {
      is_kept = is_kept && is_frozen(index);
    }
    for (int index = stack.bias_first; index >= 0 && index <= stack.bias_last; ++index) {
      is_kept = is_kept && is_frozen(index);
    }
    if (is_kept) {
      add(stack, is_looked_up && !has_table);
    }
  });
  allocate(stream);
}

RoundedWeights::RoundedWeights(const ModelLayout& layout, const ParameterSet& weights,
                               const Stream& stream, LeftOut /*how*/)
    : weights_(&weights), has_table_(true), is_exact_(true), stream_(stream) {
  for_each_matrix(layout, [&](const StackIndex& stack, bool /*is_looked_up*/) {
    if (!weights.is_stored(stack.first)) {
      add(stack, false);
    }
  });
  allocate(stream);
}

void RoundedWeights::add(const StackIndex& stack, bool is_looked_up) {
  std::int64_t rows = 0;
  for (int index = stack.first; index <= stack.last; ++index) {
    rows += weights_->local_shape(index)[0];
  }
  Matrix& matrix = matrices_[stack.first];
  matrix.last_tensor = stack.last;
  matrix.unit = weights_->unit_of(stack.first);
  matrix.is_looked_up = is_looked_up;
  matrix.rounded.shape = Shape{rows, weights_->local_shape(stack.first)[1]};
  replaced_bytes_ += is_looked_up ? 0
                                  : static_cast<std::size_t>(matrix.rounded.num_elements()) *
                                        dtype_size(weights_->dtype());
}

void RoundedWeights::allocate(const Stream& stream) {
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

void RoundedWeights::fill(int tensor, const Read& read) {
  const auto behind = matrices_.upper_bound(tensor);
  FS_CHECK(is_exact_ && behind != matrices_.begin(), "the tensor was not left out");
  const auto found = std::prev(behind);
  const Matrix& matrix = found->second;
  FS_CHECK(tensor <= matrix.last_tensor, "the tensor was not left out");
  std::int64_t first_row = 0;
  for (int index = found->first; index < tensor; ++index) {
    first_row += weights_->local_shape(index)[0];
  }
  const LocalPart& part = weights_->part(tensor);
  const std::int64_t columns = part.shape[1];
  const std::int64_t most =
      std::min(part.shape[0], std::max<std::int64_t>(1, kFillElements / columns));
  const AlignedBuffer room(static_cast<std::size_t>(most * columns) * dtype_size(weights_->dtype()),
                           stream_);
  for (std::int64_t row = 0; row < part.shape[0]; row += most) {
    LocalPart slab = part;
    slab.offset.dims[0] += row;
    slab.shape.dims[0] = std::min(most, part.shape[0] - row);
    const TensorView values(room.data(), weights_->dtype(), slab.shape);
    HostCopy on_host(stream_, values, HostCopy::For::kWriting);
    read(slab, on_host.view());
    on_host.commit();
    round_to_bf16(stream_, values,
                  matrix.rounded.row_range(first_row + row, first_row + row + slab.shape[0]));
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
