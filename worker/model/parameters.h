// SPDX-License-Identifier: Apache-2.0
// This rank's parts of logical tensors in one flat block, in the order in which they were declared.
// Neighbours are contiguous, so stacked projections (q, k, v) are one matrix. The block is cut into
// units: ranges that are gathered, reduced and updated together. Shapes and cuts follow from the
// declarations; the values may also lie elsewhere (UnitBlocks).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/tensor.h"
#include "sharding/layout.h"
#include "sharding/shard_plan.h"

namespace finescale {

class ParameterSet {
 public:
  explicit ParameterSet(DType dtype, int tensor_rank = 0, int tensor_size = 1)
      : dtype_(dtype), tensor_rank_(tensor_rank), tensor_size_(tensor_size) {}

  // `shape` is the whole tensor's; returns the index.
  int declare(std::string name, Shape shape, Placement placement = {});
  // Tensors whose name this holds for have a shape and no memory: their values lie elsewhere. In
  // front of the first declare.
  void leave_out(std::function<bool(const std::string& name)> is_elsewhere) {
    is_elsewhere_ = std::move(is_elsewhere);
  }
  [[nodiscard]] bool is_stored(int index) const {
    return !is_elsewhere_ || !is_elsewhere_(tensor(index).name);
  }
  // What is declared from here on belongs to a new unit, until the next call. A unit may be empty.
  void begin_unit();
  void allocate();  // after the last declare; zeroed. Not needed where values lie elsewhere
  void release() { memory_ = AlignedBuffer(); }  // the values lie elsewhere from here on

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] int tensor_rank() const noexcept { return tensor_rank_; }
  [[nodiscard]] int tensor_size() const noexcept { return tensor_size_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(tensors_.size()); }
  [[nodiscard]] std::int64_t num_elements() const noexcept { return num_elements_; }  // local
  [[nodiscard]] const LogicalTensor& tensor(int index) const {
    return tensors_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] const LocalPart& part(int index) const {
    return parts_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] const Shape& local_shape(int index) const { return part(index).shape; }
  [[nodiscard]] std::int64_t offset(int index) const {
    return offsets_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int find(const std::string& name) const;  // -1: none
  [[nodiscard]] const std::vector<UnitRange>& units() const noexcept { return units_; }
  [[nodiscard]] int unit_of(int index) const { return unit_of_[static_cast<std::size_t>(index)]; }
  // Tensors that other ranks of the tensor group hold too: each rank's gradient is a part of the
  // sum over the ranks that hold the same part (copies() neighbours).
  [[nodiscard]] std::vector<int> partial_gradients() const;

  [[nodiscard]] TensorView flat() const;  // [num_elements]
  [[nodiscard]] TensorView view(int index) const { return view_in(flat(), index); }
  // The same tensor inside another block of the same layout (gradients, momenta), in one piece or
  // by unit; without data where it is not stored.
  [[nodiscard]] TensorView view_in(const TensorView& block, int index) const;
  [[nodiscard]] TensorView view_in(const UnitBlocks& blocks, int index) const;
  // Tensors first..last as one matrix [sum of rows, columns], or vectors as one vector; they must
  // be neighbours with equal columns, in one unit.
  [[nodiscard]] TensorView stack_in(const TensorView& block, int first, int last) const;
  [[nodiscard]] TensorView stack_in(const UnitBlocks& blocks, int first, int last) const;
  [[nodiscard]] TensorView stack(int first, int last) const {
    return stack_in(flat(), first, last);
  }
  // A flat block of this layout by unit; `blocks` is overwritten.
  void split(const TensorView& block, UnitBlocks& blocks) const;

 private:
  [[nodiscard]] TensorView stacked(const TensorView& top, int first, int last) const;

  DType dtype_;
  int tensor_rank_;
  int tensor_size_;
  std::function<bool(const std::string&)> is_elsewhere_;
  std::vector<LogicalTensor> tensors_;
  std::vector<LocalPart> parts_;
  std::vector<std::int64_t> offsets_;
  std::vector<int> unit_of_;
  std::vector<UnitRange> units_;
  std::unordered_map<std::string, int> index_;
  std::int64_t num_elements_ = 0;
  AlignedBuffer memory_;
};

}  // namespace finescale
