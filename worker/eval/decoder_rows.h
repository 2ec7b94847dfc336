// SPDX-License-Identifier: Apache-2.0
// Neighbouring rows of a decoder's pass and their way through the layers of a piece. Rows of
// different sequences do not meet, so parts of a pass may go through by themselves, each on a
// thread of its own. Letters: R rows, O of them with an output, C width.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cached_attention.h"
#include "worker/eval/kv_cache.h"
#include "worker/model/row_exchange.h"
#include "worker/model/transformer.h"

namespace finescale {

struct DecoderRows {
  std::int64_t first = 0;                      // row of the pass
  TensorView tokens;                           // [R] i32, rows of this rank's part of the embedding
  TensorView positions;                        // [R] i32
  std::span<const CachedToken> places;         // [R]
  TensorView prompt;                           // [R, C] instead of embeddings: virtual tokens
  std::span<const std::int32_t> outputs;       // [O], rows of the pass, ascending
  std::span<const CachedToken> output_places;  // [O]
  // Where a GPU reads the same; nothing on the CPU.
  const CachedToken* device_places = nullptr;
  const CachedToken* device_output_places = nullptr;
  TensorView device_outputs;
  TensorView state;  // hidden state of a piece that begins or ends inside
  TensorView delta, residual, branch, normed, second;  // [R, C]
  TensorView qkv, mixed, gate_up, inner;
  TensorView projected;    // x A^T of the widest adapter; cut to what is needed
  TensorView multiplied;   // x with an adapter's factors
  TensorView scaled_down;  // of a branch between diagonals: x A^T diag, and what it adds
  TensorView scaled_up;
  TensorView branch_inner, branch_active, branch_out;
  TensorView statistics, head_rstd;
  TensorView shifted;  // [C], nobody else's
  TensorView logits;   // [O, V]

  // Every activation, to be cut to rows.
  template <class Do>
  void for_each(Do&& act) {
    for (TensorView* view : {&state, &delta, &residual, &branch, &normed, &second, &qkv, &mixed,
                             &gate_up, &inner, &projected, &multiplied, &scaled_down, &scaled_up,
                             &branch_inner, &branch_active, &branch_out, &statistics, &head_rstd}) {
      act(*view);
    }
  }
};

class DecoderLayers {
 public:
  // All must outlive it. received: buffers for the sums over the tensor group's ranks.
  DecoderLayers(const Transformer& model, const KvCache& cache, RowExchange& exchange,
                std::span<const TensorView> received)
      : model_(&model), cache_(&cache), exchange_(&exchange), received_(received) {}

  // Hidden state in (but with the embedding), hidden state or logits out. Collective over the
  // tensor group.
  void run(const Stream& stream, DecoderRows& rows) const;

 private:
  void embed(const Stream& stream, const DecoderRows& rows) const;
  void layer(const Stream& stream, int index, DecoderRows& rows) const;
  void attend(const Stream& stream, int index, DecoderRows& rows) const;
  void feed_forward(const Stream& stream, int index, const DecoderRows& rows,
                    const TensorView& normed, const TensorView& y) const;
  // y: [R, outputs of the layer].
  void linear(const Stream& stream, const DecoderRows& rows, const TensorView& x,
              const Weight& weight, const LowRank* adapter, const TensorView& y, Split split) const;
  void add_scaled(const Stream& stream, const DecoderRows& rows, const TensorView& x,
                  const LowRank& adapter, const TensorView& y) const;
  // y += the network's answer to it.
  void add_branch(const Stream& stream, const DecoderRows& rows, const BranchNetwork* network,
                  const TensorView& y) const;
  void norm(const Stream& stream, const DecoderRows& rows, const TensorView& x,
            const TensorView& residual, const Weight& weight, const TensorView& y) const;
  void sum_over_ranks(const TensorView& y) const;
  void make_logits(const Stream& stream, const DecoderRows& rows) const;

  const Transformer* model_;
  const KvCache* cache_;
  RowExchange* exchange_;
  std::span<const TensorView> received_;
};

}  // namespace finescale
