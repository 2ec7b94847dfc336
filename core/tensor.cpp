// SPDX-License-Identifier: Apache-2.0
#include "core/tensor.h"

namespace finescale {

const char* dtype_name(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF64:
      return "f64";
    case DType::kI32:
      return "i32";
    case DType::kBf16:
      return "bf16";
  }
  return "?";
}

Shape::Shape(std::initializer_list<std::int64_t> sizes) {
  for (const std::int64_t size : sizes) {
    dims[static_cast<std::size_t>(rank++)] = size;
  }
}

std::int64_t Shape::num_elements() const noexcept {
  std::int64_t product = rank == 0 ? 0 : 1;
  for (int axis = 0; axis < rank; ++axis) {
    product *= (*this)[axis];
  }
  return product;
}

bool Shape::operator==(const Shape& other) const noexcept {
  return rank == other.rank && dims == other.dims;
}

std::string Shape::text() const {
  std::string out = "[";
  for (int axis = 0; axis < rank; ++axis) {
    out += (axis > 0 ? ", " : "") + std::to_string((*this)[axis]);
  }
  return out + "]";
}

TensorView::TensorView(void* pointer, DType type, Shape sizes) noexcept
    : data(pointer),
      dtype(type),
      shape(sizes),
      row_stride(sizes.rank > 0 ? sizes[sizes.rank - 1] : 0) {}

TensorView TensorView::columns(std::int64_t begin, std::int64_t end) const noexcept {
  TensorView view = *this;
  view.data = static_cast<std::byte*>(data) + static_cast<std::size_t>(begin) * dtype_size(dtype);
  view.shape = Shape{shape[0], end - begin};
  return view;
}

TensorView TensorView::row_range(std::int64_t begin, std::int64_t end) const noexcept {
  TensorView view = *this;
  view.data = static_cast<std::byte*>(data) +
              static_cast<std::size_t>(begin * row_stride) * dtype_size(dtype);
  view.shape = Shape{end - begin, shape[1]};
  return view;
}

TensorView ids_view(std::span<const std::int32_t> ids) noexcept {
  return {const_cast<std::int32_t*>(ids.data()), DType::kI32,
          Shape{static_cast<std::int64_t>(ids.size())}};
}

}  // namespace finescale
