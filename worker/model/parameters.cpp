// SPDX-License-Identifier: Apache-2.0
#include "worker/model/parameters.h"

#include <utility>

#include "core/error.h"

namespace finescale {

int ParameterSet::declare(std::string name, Shape shape, Placement placement) {
  FS_CHECK(memory_.data() == nullptr, "declare after allocate");
  const int index = size();
  FS_CHECK(index_.emplace(name, index).second, "parameter " + name + " is declared twice");
  if (units_.empty()) {
    begin_unit();
  }
  tensors_.push_back({std::move(name), shape, placement, true});
  parts_.push_back(local_part(tensors_.back(), tensor_rank_, tensor_size_));
  offsets_.push_back(num_elements_);
  unit_of_.push_back(static_cast<int>(units_.size()) - 1);
  num_elements_ += is_stored(index) ? parts_.back().shape.num_elements() : 0;
  units_.back().end = num_elements_;
  return index;
}

void ParameterSet::begin_unit() {
  units_.push_back({num_elements_, num_elements_});
}

void ParameterSet::allocate() {
  memory_ = AlignedBuffer(static_cast<std::size_t>(num_elements_) * dtype_size(dtype_));
}

int ParameterSet::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? -1 : found->second;
}

std::vector<int> ParameterSet::partial_gradients() const {
  std::vector<int> partial;
  for (int index = 0; index < size(); ++index) {
    if (copies(tensor(index), tensor_size_) > 1) {
      partial.push_back(index);
    }
  }
  return partial;
}

TensorView ParameterSet::flat() const {
  return {memory_.data(), dtype_, Shape{num_elements_}};
}

namespace {

std::byte* at(const TensorView& block, std::int64_t element) {
  return static_cast<std::byte*>(block.data) +
         static_cast<std::size_t>(element) * dtype_size(block.dtype);
}

}  // namespace

TensorView ParameterSet::view_in(const TensorView& block, int index) const {
  if (!is_stored(index)) {
    return {nullptr, dtype_, local_shape(index)};
  }
  return {at(block, offset(index)), dtype_, local_shape(index)};
}

TensorView ParameterSet::view_in(const UnitBlocks& blocks, int index) const {
  if (!is_stored(index)) {
    return {nullptr, dtype_, local_shape(index)};
  }
  const auto unit = static_cast<std::size_t>(unit_of(index));
  return {at(blocks[unit], offset(index) - units_[unit].begin), dtype_, local_shape(index)};
}

TensorView ParameterSet::stacked(const TensorView& top, int first, int last) const {
  std::int64_t rows = 0;
  const Shape& shape = local_shape(first);
  for (int index = first; index <= last; ++index) {
    const Shape& other = local_shape(index);
    FS_CHECK(other.rank == shape.rank && (other.rank == 1 || other[1] == shape[1]) &&
                 unit_of(index) == unit_of(first),
             "stacked tensors differ in columns or unit");
    rows += other[0];
  }
  return {top.data, top.dtype, shape.rank == 1 ? Shape{rows} : Shape{rows, shape[1]}};
}

TensorView ParameterSet::stack_in(const TensorView& block, int first, int last) const {
  return stacked(view_in(block, first), first, last);
}

TensorView ParameterSet::stack_in(const UnitBlocks& blocks, int first, int last) const {
  return stacked(view_in(blocks, first), first, last);
}

void ParameterSet::split(const TensorView& block, UnitBlocks& blocks) const {
  blocks.clear();
  for (const UnitRange& unit : units_) {
    blocks.emplace_back(at(block, unit.begin), dtype_, Shape{unit.end - unit.begin});
  }
}

}  // namespace finescale
