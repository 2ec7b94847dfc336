// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/pieces.h"

#include <algorithm>

namespace finescale::planner {

std::vector<LayerRange> layers_of_pieces(const ModelShape& model, int pieces) {
  if (pieces == 1) {
    return {{0, static_cast<int>(model.layers)}};
  }
  const double head =
      static_cast<double>(model.embedding()) / static_cast<double>(model.layer_matrices());
  return split_layers(static_cast<int>(model.layers), pieces, 0, head);
}

std::int64_t rounds_of(const Workload& workload, const Axes& axes) {
  const std::int64_t replicas = axes.replicas();
  return std::max<std::int64_t>(1, (workload.batch.micro_batches + replicas - 1) / replicas);
}

Pieces make_pieces(const Workload& workload, const Plan& plan) {
  return {layers_of_pieces(workload.model, plan.pieces()),
          make_pipeline_schedule(
              {plan.axes.pipeline, plan.interleave, rounds_of(workload, plan.axes)})};
}

}  // namespace finescale::planner
