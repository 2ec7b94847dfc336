// SPDX-License-Identifier: Apache-2.0
// attention_forward on tensor cores, for bf16.
#pragma once

#include "kernels/cuda/attention.h"

namespace finescale::cuda {

// Heads of a multiple of 8 columns up to 128, rows on 16 bytes.
[[nodiscard]] bool fits_tensor_cores(const AttentionShape& shape, const TensorView& q,
                                     const TensorView& k, const TensorView& v,
                                     const TensorView& out);
// As attention_forward. Weights are rounded to bf16 before they meet the values.
void attention_forward_mma(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                           const TensorView& k, const TensorView& v, const TensorView& segments,
                           const TensorView& out, const TensorView& lse);

}  // namespace finescale::cuda
