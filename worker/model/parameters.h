// SPDX-License-Identifier: Apache-2.0
// Logical tensors in one flat block, in the order in which they were declared. Neighbours are
// contiguous, so stacked projections (q, k, v) are one matrix. Knows nothing of ranks or training.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/tensor.h"
#include "sharding/layout.h"

namespace finescale {

// 64-byte aligned memory that stays where it is.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size_bytes);  // zeroed
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

class ParameterSet {
 public:
  explicit ParameterSet(DType dtype) : dtype_(dtype) {}

  int declare(std::string name, Shape shape);  // returns the index
  void allocate();                             // after the last declare; zeroed

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(tensors_.size()); }
  [[nodiscard]] std::int64_t num_elements() const noexcept { return num_elements_; }
  [[nodiscard]] const LogicalTensor& tensor(int index) const {
    return tensors_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::int64_t offset(int index) const {
    return offsets_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] int find(const std::string& name) const;  // -1: none

  [[nodiscard]] TensorView flat() const;  // [num_elements]
  [[nodiscard]] TensorView view(int index) const { return view_in(flat(), index); }
  // The same tensor inside another flat block of the same layout: gradients, momenta.
  [[nodiscard]] TensorView view_in(const TensorView& block, int index) const;
  // Tensors first..last as one matrix [sum of rows, columns]; they must be neighbours with equal
  // columns.
  [[nodiscard]] TensorView stack_in(const TensorView& block, int first, int last) const;
  [[nodiscard]] TensorView stack(int first, int last) const {
    return stack_in(flat(), first, last);
  }

 private:
  DType dtype_;
  std::vector<LogicalTensor> tensors_;
  std::vector<std::int64_t> offsets_;
  std::unordered_map<std::string, int> index_;
  std::int64_t num_elements_ = 0;
  AlignedBuffer memory_;
};

}  // namespace finescale
