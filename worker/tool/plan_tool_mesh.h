// SPDX-License-Identifier: Apache-2.0
// The mesh of a gang: the one that is given, judged, or the planner's choice. The same for
// `finescale plan`, `finescale run` and `finescale-worker --run`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "comm/group.h"
#include "configs/mesh_plan.h"
#include "worker/data/loader.h"

namespace finescale {

struct MeshQuestion {
  config::Mesh mesh;  // given, or `choice: auto`
  int ranks = 1;
  double memory_per_rank = 0;     // 0: this machine's memory / ranks, or the GPU's
  bool memory_is_stated = false;  // by the user: else a GPU's own counts
};
struct MeshAnswer {
  config::Mesh mesh;  // concrete; the smallest one when none fits
  planner::MeshTable table;
  planner::Machine machine;
  bool fits = false;
};
[[nodiscard]] MeshAnswer answer_mesh(const MeshQuestion& question,
                                     std::span<const planner::Workload> workloads,
                                     planner::Machine machine);
// JSON of the answer: docs/tool_protocol.md.
[[nodiscard]] std::string mesh_json(const MeshAnswer& answer);

// What the data make of a train stage.
[[nodiscard]] planner::BatchShape batch_shape(const TrainLoader& loader);

// The mesh of these stages on this device (resources.device), concrete. Throws kConfig when none
// fits or the model forbids the given one. Rank 0 decides. Collective over the world.
[[nodiscard]] config::Mesh settle_mesh(Group& world, int threads, double memory_per_rank,
                                       const std::string& device,
                                       const std::vector<config::StageSpec>& stages);

}  // namespace finescale
