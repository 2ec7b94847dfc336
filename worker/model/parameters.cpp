// SPDX-License-Identifier: Apache-2.0
#include "worker/model/parameters.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace finescale {

AlignedBuffer::AlignedBuffer(std::size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) {
    return;
  }
  const std::size_t rounded = (size_bytes + 63) / 64 * 64;
  data_ = std::aligned_alloc(64, rounded);
  if (data_ == nullptr) {
    throw Error(ErrorKind::kResource,
                "cannot allocate " + std::to_string(size_bytes >> 20) + " MiB of parameters");
  }
  std::memset(data_, 0, rounded);
}

AlignedBuffer::~AlignedBuffer() {
  std::free(data_);
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    std::free(data_);
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

int ParameterSet::declare(std::string name, Shape shape) {
  FS_CHECK(memory_.data() == nullptr, "declare after allocate");
  const int index = size();
  FS_CHECK(index_.emplace(name, index).second, "parameter " + name + " is declared twice");
  offsets_.push_back(num_elements_);
  num_elements_ += shape.num_elements();
  tensors_.push_back({std::move(name), shape, Placement{}, true});
  return index;
}

void ParameterSet::allocate() {
  memory_ = AlignedBuffer(static_cast<std::size_t>(num_elements_) * dtype_size(dtype_));
}

int ParameterSet::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? -1 : found->second;
}

TensorView ParameterSet::flat() const {
  return {memory_.data(), dtype_, Shape{num_elements_}};
}

TensorView ParameterSet::view_in(const TensorView& block, int index) const {
  return {static_cast<std::byte*>(block.data) +
              static_cast<std::size_t>(offset(index)) * dtype_size(dtype_),
          dtype_, tensor(index).shape};
}

TensorView ParameterSet::stack_in(const TensorView& block, int first, int last) const {
  std::int64_t rows = 0;
  for (int index = first; index <= last; ++index) {
    FS_CHECK(tensor(index).shape[1] == tensor(first).shape[1], "stacked tensors differ in columns");
    rows += tensor(index).shape[0];
  }
  TensorView view = view_in(block, first);
  view.shape = Shape{rows, tensor(first).shape[1]};
  return view;
}

}  // namespace finescale
