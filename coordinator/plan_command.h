// SPDX-License-Identifier: Apache-2.0
// What `finescale plan` says before anything runs: stages, FLOPs and tokens with and without
// sharing, time, memory, disk, against the limits of the place. Pure but for read_site; the worker
// is asked through a function. The documents that it reads and answers: docs/tool_protocol.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "configs/stages.h"
#include "coordinator/plan.h"
#include "coordinator/plan_mesh.h"

namespace finescale {

struct StageEstimate {
  std::int64_t tokens = 0;  // trained on, repeats counted
  std::int64_t labels = 0;
  std::int64_t steps = 0;
  double flops = 0;                  // docs/accounting.md
  std::int64_t tokens_unshared = 0;  // if no trunk had done its beginning; 0 for a trunk
  double flops_unshared = 0;
  double seconds = 0;  // in a resident gang
  double seconds_low = 0;
  double seconds_high = 0;
  double alone_factor = 1;        // of the seconds, when the stage has the threads of every gang
  std::int64_t memory_bytes = 0;  // of each rank
  std::int64_t checkpoint_bytes = 0;  // what the artifact keeps on disk
  int files = 0;                      // of the artifact
};
using StageEstimates = std::map<std::string, StageEstimate>;  // by stage key

// What the machine offers. 0: not known, not checked.
struct SiteFacts {
  double free_bytes = 0;  // of the file system that will hold the campaign
  double free_files = 0;
  double memory_bytes = 0;
  int cores = 0;
};
// The nearest directory above `directory` that exists is looked at.
[[nodiscard]] SiteFacts read_site(const std::string& directory);

// The request for `finescale-worker tool plan`, and its answer. Throws kProtocol for an answer that
// is not one or leaves a stage out.
[[nodiscard]] std::string plan_request(const Plan& plan, const config::Resources& resources,
                                       const SiteFacts& site);
[[nodiscard]] StageEstimates parse_plan_answer(const std::string& json, const Plan& plan);

struct PlanLimit {
  std::string what;
  double value = 0;
  double limit = 0;
  bool ok = true;
};
struct PlanReport {
  std::string name;
  std::vector<std::string> data;  // what was detected in the files
  std::int64_t trials = 0;        // tuning trials included
  std::int64_t tuning_trials = 0;
  std::int64_t stages_unshared = 0;
  std::int64_t stages = 0;
  double train_flops_unshared = 0;
  double train_flops = 0;
  double train_tokens_unshared = 0;
  double train_tokens = 0;
  std::vector<SharingNote> sharing;
  double predicted_seconds = 0;
  double predicted_seconds_low = 0;
  double predicted_seconds_high = 0;
  int gangs = 1;
  int ranks_per_gang = 1;
  int threads_per_rank = 1;
  double memory_bytes_per_rank = 0;
  double checkpoint_bytes = 0;
  std::int64_t files = 0;
  std::vector<PlanLimit> limits;
  MeshPlan mesh;
  std::vector<std::string> warnings;
};

// Threads of a rank: as given, else the cores shared out.
[[nodiscard]] int threads_per_rank(const config::Resources& resources, int cores);

// All points of a search in which whatever is decided first turns out best: as many trials as a
// real one of the same kind runs.
[[nodiscard]] std::vector<std::uint64_t> assumed_points(const config::Sweep& sweep);

// A plan in which groups that are not tuned yet use the first value that they will try: it costs
// the same, and shares the same stages.
[[nodiscard]] Plan make_full_plan(const config::Sweep& sweep, const ContentHash& hash);

// plan must be a full plan: every trial resolved.
[[nodiscard]] PlanReport make_plan_report(const config::Sweep& sweep, const Plan& plan,
                                          const StageEstimates& estimates, const SiteFacts& site);

// All of it. ask_worker: request document -> answer document.
[[nodiscard]] PlanReport plan_sweep(
    const config::Sweep& sweep, const ContentHash& hash,
    const std::function<std::string(const std::string& request)>& ask_worker,
    const SiteFacts& site);

[[nodiscard]] std::string plan_json(const PlanReport& report);  // the document of `plan --json`
[[nodiscard]] std::string plan_text(const PlanReport& report);  // for people

}  // namespace finescale
