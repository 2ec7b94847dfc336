// SPDX-License-Identifier: Apache-2.0
// How long a graph of jobs takes on some gangs: greedy list scheduling, the order in which the
// campaign hands stages out. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace finescale {

// Commit of one stage and lease of the next; measured with Open MPI on two cores.
inline constexpr double kHandOverSeconds = 0.01;

struct PlannedJob {
  double seconds = 0;
  std::vector<std::size_t> after;  // jobs that must be done first; all of a smaller index
  // When nothing else runs or can start: with the threads of every gang. Absent: the same.
  std::optional<double> seconds_alone = {};
};

// Seconds until the last job is done when gangs take the first ready job in order. A job of zero
// seconds needs no gang.
[[nodiscard]] double schedule_makespan(const std::vector<PlannedJob>& jobs, int gangs);

}  // namespace finescale
