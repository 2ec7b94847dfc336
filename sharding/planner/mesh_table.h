// SPDX-License-Identifier: Apache-2.0
// Every way to lay some workloads out over ranks, judged; the fastest that fits is chosen.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sharding/planner/legality.h"
#include "sharding/planner/memory.h"
#include "sharding/planner/step_time.h"

namespace finescale::planner {

// What is settled already; the rest is tried.
struct Settled {
  std::optional<int> data, shard, tensor, pipeline, zero, interleave;
  std::optional<Recompute> recompute;
  std::optional<bool> overlap;
  std::optional<Offload> offload;  // else tried only where nothing else fits
  // Tensor > 1 has numbers of its own: without leave it is taken only when nothing else fits.
  bool may_use_tensor = false;
};

enum class Verdict { kChosen, kSlower, kOwnNumbers, kTooLarge, kIllegal };

struct MeshRow {  // a mesh with the best of its levers: the fastest that fits, else the smallest
  Plan plan;
  Verdict verdict = Verdict::kIllegal;
  std::string reason;  // for people; empty when chosen
  Memory memory;       // of the workload that needs most
  StepTime time;       // mean of a step
};
struct MeshTable {
  std::vector<MeshRow> rows;  // the chosen one first, then by time; what does not fit, then illegal
  [[nodiscard]] const MeshRow* chosen() const noexcept {
    return !rows.empty() && rows.front().verdict == Verdict::kChosen ? &rows.front() : nullptr;
  }
};

// Over all factorisations of `ranks` that agree with what is settled. When nothing is chosen every
// row says why.
[[nodiscard]] MeshTable make_mesh_table(std::span<const Workload> workloads, const Machine& machine,
                                        int ranks, const Settled& settled);

// One row for a mesh that was given.
[[nodiscard]] MeshRow judge(std::span<const Workload> workloads, const Machine& machine,
                            const Plan& plan);

}  // namespace finescale::planner
