// SPDX-License-Identifier: Apache-2.0
// A view of a row-major tensor: who owns the memory is decided elsewhere. Copying a view copies no
// data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace finescale {

enum class DType : std::uint8_t { kF32, kF64, kI32, kBf16 };

[[nodiscard]] constexpr std::size_t dtype_size(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF64:
      return 8;
    case DType::kBf16:
      return 2;
  }
  return 0;
}
[[nodiscard]] const char* dtype_name(DType dtype) noexcept;

// Up to four dimensions, row-major.
struct Shape {
  std::array<std::int64_t, 4> dims{};
  int rank = 0;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes);
  [[nodiscard]] std::int64_t operator[](int axis) const noexcept {
    return dims[static_cast<std::size_t>(axis)];
  }
  [[nodiscard]] std::int64_t num_elements() const noexcept;
  [[nodiscard]] bool operator==(const Shape& other) const noexcept;
  [[nodiscard]] std::string text() const;  // "[3, 4]"
};

// `row_stride` is the distance in elements between consecutive rows of the last-but-one axis of a
// matrix view; for a dense tensor it equals the last dimension. Only matrices (rank 2) may have
// row_stride != shape[1].
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  std::int64_t row_stride = 0;

  TensorView() = default;
  TensorView(void* pointer, DType type, Shape sizes) noexcept;

  template <class T>
  [[nodiscard]] T* as() const noexcept {
    return static_cast<T*>(data);
  }
  [[nodiscard]] std::int64_t rows() const noexcept { return shape.rank == 2 ? shape[0] : 1; }
  [[nodiscard]] std::int64_t cols() const noexcept { return shape.rank == 2 ? shape[1] : shape[0]; }
  [[nodiscard]] bool is_dense() const noexcept { return shape.rank != 2 || row_stride == shape[1]; }
  [[nodiscard]] std::int64_t num_elements() const noexcept { return shape.num_elements(); }
  [[nodiscard]] std::size_t size_bytes() const noexcept {
    return static_cast<std::size_t>(shape.num_elements()) * dtype_size(dtype);
  }
  // Columns [begin, end) of a matrix; keeps the row stride.
  [[nodiscard]] TensorView columns(std::int64_t begin, std::int64_t end) const noexcept;
  // Rows [begin, end) of a matrix.
  [[nodiscard]] TensorView row_range(std::int64_t begin, std::int64_t end) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return data == nullptr; }
};

// [n] ids; read only.
[[nodiscard]] TensorView ids_view(std::span<const std::int32_t> ids) noexcept;

}  // namespace finescale
