// SPDX-License-Identifier: Apache-2.0
// Many simulations of a sweep that differ in their seeds: what was violated, and which faults met
// which transitions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/simulation/simulate.h"

namespace finescale {

struct ScheduleReport {
  std::int64_t schedules = 0;
  std::int64_t stages = 0;  // of all
  std::int64_t faults = 0;
  std::int64_t large = 0;  // of at least 200 stages and 5 faults
  std::int64_t fewest_stages = 0;
  Coverage coverage;
  std::vector<std::string> violations;  // with their seeds
  double seconds = 0;                   // of this machine

  void add(std::uint64_t seed, const SimulationReport& report);
  void add(const ScheduleReport& other);
};

// `options` with its seed and the next ones. A campaign that stands still is a violation.
[[nodiscard]] ScheduleReport run_schedules(SimulationOptions options, std::int64_t schedules);

[[nodiscard]] std::string schedules_json(const ScheduleReport& report);
[[nodiscard]] ScheduleReport schedules_from_json(const std::string& text);
[[nodiscard]] std::string schedules_text(const ScheduleReport& report);

}  // namespace finescale
