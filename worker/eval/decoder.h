// SPDX-License-Identifier: Apache-2.0
// One token at a time of a group of sequences, with the keys and values of the earlier ones. On a
// tensor-parallel model each rank holds its heads' keys and its part of the vocabulary.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/model/row_exchange.h"
#include "worker/model/transformer.h"

namespace finescale {

class Decoder {
 public:
  // For batch_size sequences of at most `positions` tokens. The model must outlive it.
  Decoder(const Transformer& model, std::int64_t batch_size, std::int64_t positions);

  // One token of each of B sequences at its position, through the layers of this piece: hidden
  // state in (but with the embedding), hidden state out (but with the head). Collective over the
  // tensor group.
  void pass(const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& positions);
  [[nodiscard]] const TensorView& state() const noexcept { return state_; }  // [B, C]
  // With the head, after pass: best[s] becomes the likeliest next token, the lowest id of equals.
  // Collective over the tensor group.
  void choose(std::vector<std::int32_t>& best);

 private:
  [[nodiscard]] TensorView make(std::int64_t rows, std::int64_t columns);
  void embed(const TensorView& y);
  void add_positions(const TensorView& y);
  void layer(int index, TensorView& delta, TensorView& residual);
  void attend(int index, const TensorView& normed, const TensorView& y);
  void feed_forward(int index, const TensorView& normed, const TensorView& y);
  void linear(const TensorView& x, const Weight& weight, const LowRank* adapter,
              const TensorView& y, Split split);
  void norm(const TensorView& x, const TensorView& residual, const Weight& weight,
            const TensorView& y);
  void sum_over_ranks(const TensorView& y);
  void make_logits();

  const Transformer* model_;
  RowExchange exchange_;
  Stream stream_;
  std::int64_t batch_size_;
  std::int64_t capacity_;
  std::vector<AlignedBuffer> memory_;
  TensorView state_, delta_, residual_, branch_, normed_, second_, qkv_, mixed_, gate_up_, inner_,
      projected_, logits_, statistics_, head_rstd_, shifted_;
  std::vector<TensorView> keys_, values_;  // per layer [B * positions, K * D]
  std::vector<TensorView> received_;
  TensorView candidates_;  // [B, 2]: this rank's best logit and its token
  TensorView all_candidates_;
  std::vector<std::int32_t> tokens_, positions_, lengths_;
};

}  // namespace finescale
