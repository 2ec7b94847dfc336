// SPDX-License-Identifier: Apache-2.0
// The pieces of a model on the ranks of a pipeline: which layers each has, and in which order they
// work. The engine asks the same functions. Pure.
#pragma once

#include <vector>

#include "sharding/planner/pipeline_schedule.h"
#include "sharding/planner/workload.h"

namespace finescale::planner {

// Of each piece. Looking up the embedding costs nothing beside a layer, the head what its product
// does.
[[nodiscard]] std::vector<LayerRange> layers_of_pieces(const ModelShape& model, int pieces);

struct Pieces {
  std::vector<LayerRange> layers;  // piece i is chunk i / P of pipeline rank i % P
  PipelineSchedule schedule;       // of a step's rounds
};
// The plan must be legal.
[[nodiscard]] Pieces make_pieces(const Workload& workload, const Plan& plan);

// Micro-batches that the busiest replica takes in a step.
[[nodiscard]] std::int64_t rounds_of(const Workload& workload, const Axes& axes);

}  // namespace finescale::planner
