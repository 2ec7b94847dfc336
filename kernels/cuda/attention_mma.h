// SPDX-License-Identifier: Apache-2.0
// Attention on tensor cores: all matrices but lse and delta are bf16 in rows on 16 bytes.
#pragma once

#include "kernels/cuda/attention.h"

namespace finescale::cuda {

inline constexpr int kPackOfBf16 = 8;  // rows of bf16 lie on as many

// Heads of a multiple of 8 columns up to 128.
[[nodiscard]] bool fits_tensor_cores(const AttentionShape& shape);
// As attention_forward. Weights are rounded to bf16 before they meet the values.
void attention_forward_mma(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                           const TensorView& k, const TensorView& v, const TensorView& segments,
                           const TensorView& out, const TensorView& lse);
// As attention_backward with delta [T, H] made already. Weights and the gradients of scores are
// rounded to bf16 before they meet the other operand.
void attention_backward_mma(const Stream& stream, const AttentionShape& shape,
                            const TensorView& dout, const TensorView& q, const TensorView& k,
                            const TensorView& v, const TensorView& lse, const TensorView& segments,
                            const TensorView& delta, const TensorView& dq, const TensorView& dk,
                            const TensorView& dv);

}  // namespace finescale::cuda
