// SPDX-License-Identifier: Apache-2.0
// Causal attention over packed segments without a T x T buffer (Dao 2023): online softmax, tiles of
// keys. Letters: T tokens, C model width, H query heads, K key/value heads, D head width, F
// feed-forward width, V vocabulary.
#pragma once

#include <cstdint>
#include <span>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

struct AttentionShape {
  int num_heads = 0;     // H
  int num_kv_heads = 0;  // K divides H: grouped-query attention
  int head_dim = 0;      // D
  double scale = 0;      // 1 / sqrt(D) unless the model says otherwise
  int window = 0;        // a token sees so many, itself included; 0: all before it
};

// q [T, H*D], k and v [T, K*D] (row strides respected: they may be columns of one qkv matrix), out
// [T, H*D], lse [T, H] log-sum-exp for the backward pass. segments: S+1 ascending offsets,
// segments[0] = 0, segments[S] = T; a token sees the tokens of its own segment up to itself,
// the last `window` of them when there is one. on_device [S+1] i32: the segments where the stream's
// GPU can read them; empty on the CPU.
void attention_forward(const Stream& stream, const AttentionShape& shape, const TensorView& q,
                       const TensorView& k, const TensorView& v,
                       std::span<const std::int32_t> segments, const TensorView& out,
                       const TensorView& lse, const TensorView& on_device = {});

// dq, dk, dv are overwritten (row strides respected). No bit depends on the number of threads.
void attention_backward(const Stream& stream, const AttentionShape& shape, const TensorView& dout,
                        const TensorView& q, const TensorView& k, const TensorView& v,
                        const TensorView& out, const TensorView& lse,
                        std::span<const std::int32_t> segments, const TensorView& dq,
                        const TensorView& dk, const TensorView& dv,
                        const TensorView& on_device = {});

}  // namespace finescale
