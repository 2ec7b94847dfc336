// SPDX-License-Identifier: Apache-2.0
#include "worker/model/prefix_encoder.h"

#include <cmath>

#include "core/tensor_element.h"
#include "kernels/bias.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"

namespace finescale {

PrefixEncoder::PrefixEncoder(const Sizes& sizes, DType dtype) : sizes_(sizes) {
  const std::int64_t inner = sizes.tokens * sizes.hidden;
  const std::int64_t columns = 2 * sizes.layers * sizes.keys;
  const std::size_t element = dtype_size(dtype);
  memory_ = AlignedBuffer(static_cast<std::size_t>(2 * (inner + sizes.tokens * columns)) * element);
  std::byte* next = static_cast<std::byte*>(memory_.data());
  const auto take = [&](std::int64_t width) {
    const TensorView view(next, dtype, Shape{sizes.tokens, width});
    next += view.size_bytes();
    return view;
  };
  hidden_ = take(sizes.hidden);
  dhidden_ = take(sizes.hidden);
  made_ = take(columns);
  dmade_ = take(columns);
}

TensorView PrefixEncoder::part(const TensorView& all, std::int64_t layer, bool values) const {
  const std::int64_t first = (2 * layer + (values ? 1 : 0)) * sizes_.keys;
  return all.columns(first + sizes_.own_begin, first + sizes_.own_end);
}

std::size_t PrefixEncoder::memory_bytes() const {
  return memory_.size_bytes();
}

void PrefixEncoder::forward(const Stream& stream) {
  const Stream exact = stream.with_products(Products::kF32);
  gemm(exact, Transpose::kNo, Transpose::kYes, 1, embeddings.value, w1.value, 0, hidden_);
  bias_add(exact, b1.value, hidden_);
  for (std::int64_t i = 0; i < hidden_.num_elements(); ++i) {
    set_element(hidden_, i, std::tanh(element(hidden_, i)));
  }
  gemm(exact, Transpose::kNo, Transpose::kYes, 1, hidden_, w2.value, 0, made_);
  bias_add(exact, b2.value, made_);
  fill_zero(exact, dmade_);
}

void PrefixEncoder::backward(const Stream& stream) {
  const Stream exact = stream.with_products(Products::kF32);
  bias_gradient(exact, dmade_, b2.gradient);
  gemm(exact, Transpose::kYes, Transpose::kNo, 1, dmade_, hidden_, 1, w2.gradient);
  gemm(exact, Transpose::kNo, Transpose::kNo, 1, dmade_, w2.value, 0, dhidden_);
  for (std::int64_t i = 0; i < hidden_.num_elements(); ++i) {
    const double y = element(hidden_, i);
    set_element(dhidden_, i, element(dhidden_, i) * (1 - y * y));
  }
  bias_gradient(exact, dhidden_, b1.gradient);
  gemm(exact, Transpose::kYes, Transpose::kNo, 1, dhidden_, embeddings.value, 1, w1.gradient);
  gemm(exact, Transpose::kNo, Transpose::kNo, 1, dhidden_, w1.value, 1, embeddings.gradient);
}

}  // namespace finescale
