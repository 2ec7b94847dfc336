// SPDX-License-Identifier: Apache-2.0
// What a tape allocates for one micro-batch in one piece of a model: elements of the activations'
// type. Mirrors worker/model's tape, pool by pool. Pure.
#pragma once

#include "sharding/planner/workload.h"

namespace finescale::planner {

struct PieceShape {
  double layers = 0;
  bool has_embedding = true;
  bool has_head = true;
  double frozen_layers = 0;  // of them the first, through which no backward pass goes
};

// How much of an element of the activations' type one takes that is not the residual stream's: on a
// GPU that rounds the operands of products they are stored rounded.
[[nodiscard]] double operand_part(const Bytes& bytes, bool on_gpu);

// Of one layer's forward pass with nothing made again, for each token. On a GPU that rounds the
// operands of products all but the residual stream is kept as such: an element counts for a part.
[[nodiscard]] double layer_activations(const Workload& workload, int tensor, bool on_gpu = false);

struct TapeElements {
  double activations = 0;  // kept for the backward pass, and gradients of activations
  double logits = 0;       // one chunk of the head
};
// Of a tape for micro-batches of at most `tokens`. An evaluation keeps no more than a layer.
[[nodiscard]] TapeElements tape_elements(const Workload& workload, const Plan& plan,
                                         const PieceShape& piece, std::int64_t tokens,
                                         bool training, bool on_gpu);

// Rows of a chunk of logits of the vocabulary's part on one rank.
[[nodiscard]] std::int64_t logits_rows(const Workload& workload, const Plan& plan,
                                       std::int64_t tokens, bool on_gpu);

}  // namespace finescale::planner
