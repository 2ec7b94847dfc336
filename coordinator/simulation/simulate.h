// SPDX-License-Identifier: Apache-2.0
// A campaign with the planner, reactor, store transactions and accounting of a real one, on gangs
// and a clock that are simulated: how long it would take, what faults cost it, what the coordinator
// itself costs. The same seed gives the same run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan_cache.h"
#include "coordinator/simulation/referee.h"

namespace finescale {

struct SimulationOptions {
  config::Sweep sweep;
  std::string directory;  // scratch: of the store
  std::uint64_t seed = 1;
  FaultRates faults;
  double examples_per_second = 1000;  // of a gang
  bool faults_are_harmless = false;   // none of them may make an attempt fail
  PlanCache* plans = nullptr;         // of simulations of this sweep
};

struct SimulationReport {
  std::int64_t trials = 0;
  std::int64_t stages = 0;
  std::int64_t failed_stages = 0;  // their attempts were used up
  double makespan_s = 0;
  double ideal_s = 0;  // the longer of all work over all gangs, and the longest chain
  double utilisation = 0;
  double lost_work_fraction = 0;
  std::int64_t coordinators = 1;               // one more for each crash
  std::map<std::string, std::int64_t> faults;  // by name
  std::vector<std::string> violations;         // of the accounting
  std::string trials_hash;                     // of what was run, in order
  Coverage coverage;                           // of transitions by faults
  // Of this machine.
  double plan_seconds = 0;
  double simulate_seconds = 0;
  double dispatch_us_per_stage = 0;  // the coordinator's own time, over stages
  double memory_bytes = 0;           // peak of the process
  double store_bytes = 0;
};

// Throws kInternal when the campaign comes to a standstill with work left.
[[nodiscard]] SimulationReport simulate(const SimulationOptions& options);

[[nodiscard]] std::string simulation_json(const SimulationReport& report);
[[nodiscard]] std::string simulation_text(const SimulationReport& report);

}  // namespace finescale
