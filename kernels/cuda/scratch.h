// SPDX-License-Identifier: Apache-2.0
// Tensors for the time of one operation, cut from one piece of the GPU's memory.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "core/gpu.h"
#include "core/tensor.h"

namespace finescale::cuda {

class ScratchTensors {
 public:
  struct Wanted {
    DType dtype;
    Shape shape;
  };
  ScratchTensors(const Stream& stream, std::initializer_list<Wanted> wanted)
      : memory_(*stream.gpu(), total_of(wanted)) {
    std::size_t at = 0;
    for (const Wanted& one : wanted) {
      TensorView view(static_cast<std::byte*>(memory_.data()) + at, one.dtype, one.shape);
      views_[num_views_++] = view;
      at += padded(view.size_bytes());
    }
  }
  [[nodiscard]] const TensorView& operator[](std::size_t index) const { return views_[index]; }

 private:
  static constexpr std::size_t kMost = 4;
  static std::size_t padded(std::size_t size) { return (size + 255) / 256 * 256; }
  static std::size_t total_of(std::initializer_list<Wanted> wanted) {
    std::size_t total = 0;
    for (const Wanted& one : wanted) {
      total += padded(TensorView(nullptr, one.dtype, one.shape).size_bytes());
    }
    return total;
  }

  GpuScratch memory_;
  TensorView views_[kMost];
  std::size_t num_views_ = 0;
};

}  // namespace finescale::cuda
