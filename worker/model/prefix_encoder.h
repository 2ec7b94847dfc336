// SPDX-License-Identifier: Apache-2.0
// A network of two layers that makes the keys and values of virtual tokens of all layers:
// tanh(E W1^T + b1) W2^T + b2 (Li and Liang 2021, section 4.3). Rows of W2 are, for each layer in
// turn, its keys and then its values. On the host's memory; calls of one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "core/aligned_buffer.h"
#include "worker/model/linear.h"

namespace finescale {

class PrefixEncoder {
 public:
  struct Sizes {
    std::int64_t tokens = 0, width = 0, hidden = 0;  // P, columns of E, rows of W1
    std::int64_t layers = 0;
    std::int64_t keys = 0;                    // columns of a layer's keys, all heads
    std::int64_t own_begin = 0, own_end = 0;  // of them this rank's
  };
  PrefixEncoder(const Sizes& sizes, DType dtype);

  // Whole on every rank.
  Weight embeddings, w1, b1, w2, b2;

  // Where a layer's keys or values of this rank are made, and their gradients added, [P, own].
  [[nodiscard]] TensorView made(std::int64_t layer, bool values) const {
    return part(made_, layer, values);
  }
  [[nodiscard]] TensorView made_gradient(std::int64_t layer, bool values) const {
    return part(dmade_, layer, values);
  }

  // Makes them; gradients become zero.
  void forward(const Stream& stream);
  // From the gradients of what was made to those of the weights, which are added to.
  void backward(const Stream& stream);
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  [[nodiscard]] TensorView part(const TensorView& all, std::int64_t layer, bool values) const;

  Sizes sizes_;
  AlignedBuffer memory_;
  TensorView hidden_, dhidden_;  // [P, hidden]
  TensorView made_, dmade_;      // [P, 2 layers keys]; of other ranks' columns no gradient comes
};

}  // namespace finescale
