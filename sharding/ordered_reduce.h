// SPDX-License-Identifier: Apache-2.0
// Sums over the ranks of a group in one fixed order, the balanced binary tree over the rank index,
// element by element: the same bits on every rank and every repeat. Each rank adds its slice of the
// elements; each sends (n - 1) / n of the tensor for the sum and as much again for the gathering.
#pragma once

#include "comm/group.h"
#include "core/exact_sum.h"
#include "core/tensor.h"

namespace finescale {

// The sum of every rank's x, dense, f32 or f64, in place. Collective over the group.
void ordered_all_reduce(Group& group, const TensorView& x);

// Rows of a matrix [T, C] that rank r of the group keeps: [T r / n, T (r + 1) / n).
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
[[nodiscard]] RowRange rows_of(std::int64_t num_rows, int rank, int size) noexcept;

// mine [rows of this rank, C] = their sum over the ranks; full [T, C] keeps its values unless mine
// lies in it, which it may in its own place. Dense, f32 or f64. Collective over the group.
void reduce_scatter_rows(Group& group, const TensorView& full, const TensorView& mine);
// full [T, C] = every rank's mine [its rows, C]; mine may lie in its place in full. Dense, any
// dtype. Collective over the group.
void all_gather_rows(Group& group, const TensorView& mine, const TensorView& full);

// total = the sum of every rank's total, the same on all of them. Collective over the group.
void exact_all_reduce(Group& group, ExactSum& total);

}  // namespace finescale
