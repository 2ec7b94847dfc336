// SPDX-License-Identifier: Apache-2.0
// Sums over the ranks of a group in one fixed order, the balanced binary tree over the rank index,
// element by element: the same bits on every rank and every repeat. Each rank adds its slice of the
// elements; each sends (n - 1) / n of the tensor for the sum and as much again for the gathering.
#pragma once

#include "comm/group.h"
#include "core/exact_sum.h"
#include "core/tensor.h"
#include "sharding/gradient_add.h"

namespace finescale {

// The sum of every rank's x, dense, f32 or f64, in place; `where` it lies. Collective over the
// group.
void ordered_all_reduce(Group& group, const TensorView& x, const LeafMemory& where = {});

// total = the sum of every rank's total, the same on all of them. Collective over the group.
void exact_all_reduce(Group& group, ExactSum& total);

}  // namespace finescale
