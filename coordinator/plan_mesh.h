// SPDX-License-Identifier: Apache-2.0
// The mesh of a gang, as the worker's planner answers it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"

namespace finescale {

struct PlannedMesh {
  std::string mesh;      // axes of more than one rank: "data 2 x shard 4"
  std::string levers;    // "ZeRO-3, recompute full, overlap on"; what is off is left out
  bool is_legal = true;  // else there are no numbers
  bool is_chosen = false;
  std::string reason;  // why not
  double memory_bytes = 0;
  double step_seconds = 0;
  double communication_share = 0;
};
struct MeshPlan {
  config::Mesh mesh;  // concrete
  bool fits = true;
  double memory_per_rank = 0;
  std::vector<PlannedMesh> rows;  // best first
  std::string json;               // the worker's rows as they came
};

// Of the worker's answer; empty rows when it says nothing of meshes.
[[nodiscard]] MeshPlan parse_mesh_plan(const nlohmann::json& answer);
// A table for people, at most 12 rows; the rest is counted.
[[nodiscard]] std::string mesh_table_text(const MeshPlan& plan);

// Bytes that a rank may use: as stated, else the machine's memory over all ranks on it; 0: unknown.
[[nodiscard]] double memory_of_rank(const config::Resources& resources, double machine_bytes);

// Replaces `mesh: auto` by the planner's choice, checks a stated memory limit, and refuses what
// cannot run. Throws kConfig.
void settle_sweep_mesh(config::Sweep& sweep,
                       const std::function<std::string(const std::string& request)>& ask_worker);

// finescale-worker tool plan; its errors about the mesh name the place in the sweep file.
[[nodiscard]] std::string ask_plan_tool(const std::string& sweep_file, const std::string& request);

}  // namespace finescale
