// SPDX-License-Identifier: Apache-2.0
// CUDA twins of operations of kernels/embedding.h, enqueued on the stream. Tokens are checked by
// whoever uploads them: an id outside the vocabulary gives a row of NaN.
#pragma once

#include "kernels/embedding.h"

namespace finescale::cuda {

// f32, bf16 and f64, and a bf16 weight with f32 y: the values are the same.
decltype(finescale::embedding_forward) embedding_forward;

// As its twin, with the same bits, for dy and to of one dtype, f32 or f64, or bf16 dy and f32 to.
// order [4, T] i32 (dense) is scratch: tokens and their places, before and behind a merge.
void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& order, const TensorView& to);

// f32 and f64.
decltype(finescale::add_rows) add_rows;

}  // namespace finescale::cuda
