// SPDX-License-Identifier: Apache-2.0
// Which meshes a model can be laid out on, and what to say of the others.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sharding/planner/workload.h"

namespace finescale::planner {

struct Fault {
  std::string field;    // tensor, pipeline, zero, ...
  std::string message;  // "mesh.tensor is 3, but the model has 8 attention heads: use 1, 2, 4 or 8"
};
// The first rule that the plan breaks, or nothing; without a model those that need none.
[[nodiscard]] std::optional<Fault> find_fault(const Plan& plan);
[[nodiscard]] std::optional<Fault> find_fault(const ModelShape& model, const Plan& plan);

// Sizes of the tensor axis that the model allows, ascending, up to `at_most`.
[[nodiscard]] std::vector<int> tensor_sizes(const ModelShape& model, int at_most);

// All factorisations of the number of ranks, legal or not, in a fixed order.
[[nodiscard]] std::vector<Axes> factorisations(int ranks);

// The legal mesh of this many ranks that is nearest to what was asked for: least sum over the axes
// of |log2 of the ratio|. There is always one (data takes every rank).
[[nodiscard]] Axes nearest_legal(const ModelShape& model, const Axes& wanted, int ranks);

// "1, 2, 4 or 8"
[[nodiscard]] std::string listed(const std::vector<int>& numbers);

}  // namespace finescale::planner
