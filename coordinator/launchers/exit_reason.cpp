// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <utility>

#include "coordinator/launchers/launcher.h"

namespace finescale {

namespace {

// Open MPI 4: "mpirun noticed that process rank 3 with PID 1234 on node a exited on signal 9
// (Killed)."
std::string lost_process(std::string_view line) {
  constexpr std::string_view kBegin = "noticed that process rank ";
  const std::size_t begin = line.find(kBegin);
  if (begin == std::string_view::npos) {
    return {};
  }
  std::string_view rest = line.substr(begin + kBegin.size());
  const std::string_view rank = rest.substr(0, rest.find(' '));
  const std::size_t node = rest.find(" on node ");
  rest = node == std::string_view::npos ? std::string_view() : rest.substr(node);
  while (!rest.empty() && (rest.back() == '.' || std::isspace(rest.back()) != 0)) {
    rest.remove_suffix(1);
  }
  return std::string("rank ").append(rank).append(rest);
}

// Slurm: "srun: error: n2: task 1: Exited with exit code 3", "srun: error: n1: tasks 0-1: Killed".
std::string lost_task(std::string_view line) {
  constexpr std::string_view kBegin = "srun: error: ";
  if (line.substr(0, kBegin.size()) != kBegin) {
    return {};
  }
  line.remove_prefix(kBegin.size());
  const std::size_t colon = line.find(": task");
  const std::size_t end = colon == std::string_view::npos ? colon : line.find(": ", colon + 1);
  if (end == std::string_view::npos) {
    return {};
  }
  const std::string_view tasks = line.substr(colon + 2, end - colon - 2);
  const std::string_view numbers = tasks.substr(std::min(tasks.find(' '), tasks.size()));
  return std::string("rank")
      .append(numbers)
      .append(" on node ")
      .append(line.substr(0, colon))
      .append(line.substr(end));
}

// "rank 2: ...", as a worker ends.
bool is_last_words(std::string_view line) {
  constexpr std::string_view kBegin = "rank ";
  if (line.substr(0, kBegin.size()) != kBegin) {
    return false;
  }
  const std::size_t colon = line.find_first_not_of("0123456789", kBegin.size());
  return colon != std::string_view::npos && colon > kBegin.size() && line.substr(colon, 2) == ": ";
}

}  // namespace

std::string exit_reason(std::string_view log_end) {
  std::string reason;  // a rank's own words say more than the launcher's
  for (std::size_t begin = 0; begin < log_end.size();) {
    const std::size_t end = std::min(log_end.find('\n', begin), log_end.size());
    const std::string_view line = log_end.substr(begin, end - begin);
    if (is_last_words(line)) {
      return std::string(line);
    }
    if (std::string lost = lost_process(line); !lost.empty()) {
      reason = std::move(lost);
    }
    if (reason.empty()) {  // the first: srun kills the others, and says so too
      reason = lost_task(line);
    }
    begin = end + 1;
  }
  return reason;
}

}  // namespace finescale
