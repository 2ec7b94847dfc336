// SPDX-License-Identifier: Apache-2.0
// Attention to P keys and values that every token sees beside those of its own segment: the virtual
// tokens of prefix and prompt tuning, which no segment has a copy of. attention_forward comes
// first, then these join what it left: one softmax runs over both. On the CPU only. Letters: T
// tokens, P virtual tokens, H query heads, K key/value heads, D head width.
#pragma once

#include <cstdint>
#include <span>

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/attention.h"

namespace finescale {

// q [T, H*D], k and v [P, K*D]; out [T, H*D] and lse [T, H] of the segments alone become those of
// both. scores [T, P] is scratch.
void prefix_attention_forward(const Stream& stream, const AttentionShape& shape,
                              const TensorView& q, const TensorView& k, const TensorView& v,
                              const TensorView& scores, const TensorView& out,
                              const TensorView& lse);

// delta [T, H]: dout times out, summed over each head.
void attention_delta(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                     const TensorView& out, const TensorView& delta);

// attention_backward where the softmax ran over more than the segments: lse and delta are those of
// everything that was seen.
void attention_backward_given(const Stream& stream, const AttentionShape& shape,
                              const TensorView& dout, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& lse, const TensorView& delta,
                              std::span<const std::int32_t> segments, const TensorView& dq,
                              const TensorView& dk, const TensorView& dv);

struct PrefixGradients {
  TensorView dq;      // [T, H*D], empty: not wanted
  TensorView dk, dv;  // [P, K*D]
};
// Adds to the gradients, tokens in their order whatever the number of threads. weights and dweights
// [T, P] are scratch.
void prefix_attention_backward(const Stream& stream, const AttentionShape& shape,
                               const TensorView& dout, const TensorView& q, const TensorView& k,
                               const TensorView& v, const TensorView& lse, const TensorView& delta,
                               const TensorView& weights, const TensorView& dweights,
                               const PrefixGradients& gradients);

}  // namespace finescale
