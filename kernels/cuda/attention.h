// SPDX-License-Identifier: Apache-2.0
// CUDA twins of the operations of kernels/attention.h, enqueued on the stream: f32 and bf16 with
// f32 sums, heads of up to 256 columns. They differ in two arguments: segments [S+1] i32 lie in the
// device's memory, and the backward pass takes scratch. Equal inputs give equal bits.
#pragma once

#include "kernels/attention.h"

namespace finescale::cuda {

void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v, const TensorView& segments,
                       const TensorView& out, const TensorView& lse);

// lse and delta (scratch) [T, H] f32.
void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse, const TensorView& segments,
                        const TensorView& delta, const TensorView& dq, const TensorView& dk,
                        const TensorView& dv);

// delta [T, H] f32: sum over the columns of a head of dout out. The first part of the above.
void attention_delta(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                     const TensorView& out, const TensorView& delta);

}  // namespace finescale::cuda
