// SPDX-License-Identifier: Apache-2.0
// Training FLOPs that were useful, multiply-add = 2 (docs/accounting.md): padding does not exist,
// recomputation does not count, the head counts for labelled tokens only.
#pragma once

#include <cstdint>

#include "configs/schema/train.pb.h"
#include "worker/methods/method.h"
#include "worker/model/transformer.h"

namespace finescale {

// Twice the (query, key) pairs of an example that attention multiplies, mean over the layers:
// length^2, in layers with a window w only w (2 length - w).
[[nodiscard]] double attended(const DecoderShape& shape, std::int64_t length);

// base trains: tokens x 6 P + labels x 6 V C; frozen: tokens x (4 P + 6 P_adapter) + labels x 4 V
// C. Both: 6 L H D times the sum of attended() over the examples. last_layers: the others go
// forward only, 2 P and a third of attention; a tied head is frozen with its embedding. Chosen
// tensors: what is multiplied, see backward_work. Virtual tokens: the pairs of every token with
// them besides; their own way through the layers is not counted, they are no tokens of a batch.
[[nodiscard]] double train_flops(const ModelLayout& layout, const config::Method& method,
                                 std::int64_t adapter_parameters, std::int64_t tokens,
                                 std::int64_t labels, double sum_attended);
// Of a forward pass: tokens x 2 P + labels x 2 V C + 2 L H D times the sum.
[[nodiscard]] double forward_flops(const DecoderShape& shape, std::int64_t tokens,
                                   std::int64_t labels, double sum_attended);

}  // namespace finescale
