// SPDX-License-Identifier: Apache-2.0
// A matrix of any storage type for the emulation tests: rows further apart than they are wide, and
// between and behind them marks that no kernel may touch and that show in what uses them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#ifdef FINESCALE_ON_GPU
#include <cuda_runtime_api.h>
#endif

#include "core/random.h"
#include "core/tensor.h"

namespace finescale {

inline std::uint16_t to_bf16(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}
inline double from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

// What is left of a number that is stored as `dtype`.
inline double rounded_to(DType dtype, double value) {
  switch (dtype) {
    case DType::kF64:
      return value;
    case DType::kBf16:
      return from_bf16(to_bf16(value));
    case DType::kF32:
    case DType::kI32:
      return static_cast<float>(value);
  }
  return value;
}

// Memory of the device begins on 256 bytes; on a real one (tests/gpu) the host sees it too.
template <class T>
struct DeviceAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{256};
  DeviceAllocator() = default;
  template <class U>
  explicit DeviceAllocator(const DeviceAllocator<U>& /*other*/) noexcept {}
  [[nodiscard]] T* allocate(std::size_t count) {
#ifdef FINESCALE_ON_GPU
    void* memory = nullptr;
    if (cudaMallocManaged(&memory, std::max<std::size_t>(1, count * sizeof(T))) != cudaSuccess) {
      throw std::bad_alloc();
    }
    return static_cast<T*>(memory);
#else
    return static_cast<T*>(::operator new(count * sizeof(T), kAlignment));
#endif
  }
  void deallocate(T* memory, std::size_t /*count*/) noexcept {
#ifdef FINESCALE_ON_GPU
    (void)cudaFree(memory);  // waits for kernels
#else
    ::operator delete(memory, kAlignment);
#endif
  }
  friend bool operator==(const DeviceAllocator& /*a*/, const DeviceAllocator& /*b*/) {
    return true;
  }
};

class Array {
 public:
  using Bytes = std::vector<std::byte, DeviceAllocator<std::byte>>;
  Array(DType dtype, std::int64_t rows, std::int64_t cols, std::int64_t gap = 0)
      : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + gap) {
    end_ = rows == 0 ? 0 : (rows - 1) * stride_ + cols;
    bytes_.resize(static_cast<std::size_t>(end_ + kBehind) * dtype_size(dtype));
    for (std::int64_t i = 0; i < end_ + kBehind; ++i) {
      const std::int64_t behind = i < end_ ? i % stride_ - cols : i - end_;  // a row, or the last
      set_flat(i, behind < 0 ? 0 : mark(behind));
    }
  }
  ~Array() = default;
  Array(Array&& other) noexcept = default;
  Array& operator=(Array&& other) noexcept = default;
  Array& operator=(const Array& other) = delete;
  // Results are copied where they are returned: kernels must have written them.
  Array(const Array& other)
      : dtype_(other.dtype_),
        rows_(other.rows_),
        cols_(other.cols_),
        stride_(other.stride_),
        end_(other.end_) {
#ifdef FINESCALE_ON_GPU
    (void)cudaDeviceSynchronize();
#endif
    bytes_ = other.bytes_;
  }
  [[nodiscard]] DType dtype() const {
    return dtype_;
  }
  [[nodiscard]] std::int64_t rows() const {
    return rows_;
  }
  [[nodiscard]] std::int64_t cols() const {
    return cols_;
  }
  [[nodiscard]] const Bytes& bytes() const {
    return bytes_;
  }
  [[nodiscard]] double at(std::int64_t row, std::int64_t col) const {
    return flat(row * stride_ + col);
  }
  void set(std::int64_t row, std::int64_t col, double value) {
    set_flat(row * stride_ + col, value);
  }
  [[nodiscard]] TensorView view() {
    TensorView view(bytes_.data(), dtype_, Shape{rows_, cols_});
    view.row_stride = stride_;
    return view;
  }
  [[nodiscard]] TensorView vector() {  // [rows * cols], without gaps
    return {bytes_.data(), dtype_, Shape{rows_ * cols_}};
  }
  [[nodiscard]] bool gaps_untouched() const {
    for (std::int64_t r = 0; r + 1 < rows_; ++r) {
      for (std::int64_t c = cols_; c < stride_; ++c) {
        if (!is_mark(flat(r * stride_ + c), c - cols_)) {
          return false;
        }
      }
    }
    for (std::int64_t i = end_; i < end_ + kBehind; ++i) {
      if (!is_mark(flat(i), i - end_)) {
        return false;
      }
    }
    return true;
  }

 private:
#ifdef __SANITIZE_ADDRESS__
  static constexpr std::int64_t kBehind = 0;  // it looks behind the end itself
#else
  static constexpr std::int64_t kBehind = 64;
#endif
  // Of the i-th element behind a row: a number, which no step of an operation leaves as it is, and
  // NaN, which no sum hides, in turn.
  [[nodiscard]] double mark(std::int64_t i) const {
    constexpr double kNumber = 12345;
    return i % 2 == 0 || dtype_ == DType::kI32 ? kNumber : std::numeric_limits<double>::quiet_NaN();
  }
  [[nodiscard]] bool is_mark(double value, std::int64_t i) const {
    const double wanted = rounded_to(dtype_, mark(i));
    return value == wanted || (std::isnan(value) && std::isnan(wanted));
  }
  template <class T>
  [[nodiscard]] T get(std::int64_t i) const {
    T value;
    std::memcpy(&value, bytes_.data() + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
    return value;
  }
  template <class T>
  void put(std::int64_t i, T value) {
    std::memcpy(bytes_.data() + static_cast<std::size_t>(i) * sizeof(T), &value, sizeof(T));
  }
  [[nodiscard]] double flat(std::int64_t i) const {
    switch (dtype_) {
      case DType::kF64:
        return get<double>(i);
      case DType::kF32:
        return get<float>(i);
      case DType::kI32:
        return get<std::int32_t>(i);
      case DType::kBf16:
        return from_bf16(get<std::uint16_t>(i));
    }
    return 0;
  }
  void set_flat(std::int64_t i, double value) {
    switch (dtype_) {
      case DType::kF64:
        return put(i, value);
      case DType::kF32:
        return put(i, static_cast<float>(value));
      case DType::kI32:
        return put(i, static_cast<std::int32_t>(value));
      case DType::kBf16:
        return put(i, to_bf16(value));
    }
  }
  DType dtype_;
  std::int64_t rows_, cols_, stride_;
  std::int64_t end_ = 0;  // elements up to that of the last row
  Bytes bytes_;
};

}  // namespace finescale
