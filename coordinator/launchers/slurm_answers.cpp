// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/slurm_answers.h"

#include <algorithm>
#include <array>

namespace finescale {

namespace {

constexpr std::size_t kMaxIdLength = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "12", "12_3", "12_[4-9%2]", "12+1": a job, a task of an array, the rest of an array, a part of a
// heterogeneous job.
bool is_job_id(std::string_view text) {
  constexpr std::string_view kMore = "_[]-,%+.";
  return !text.empty() && text.size() <= kMaxIdLength && is_digit(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return is_digit(c) || kMore.find(c) != std::string_view::npos;
         });
}

bool is_state(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
}

// The next line of `text` from `begin` on, which moves behind it.
std::string_view next_line(std::string_view text, std::size_t& begin) {
  const std::size_t end = std::min(text.find('\n', begin), text.size());
  std::string_view line = text.substr(begin, end - begin);
  begin = end + 1;
  if (!line.empty() && line.back() == '\r') {
    line.remove_suffix(1);
  }
  return line;
}

}  // namespace

std::optional<std::vector<SlurmJob>> parse_squeue(std::string_view text) {
  std::vector<SlurmJob> jobs;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::string_view line = next_line(text, begin);
    if (line.empty()) {
      continue;
    }
    const std::size_t first = line.find('|');
    const std::size_t second = first == std::string_view::npos ? first : line.find('|', first + 1);
    if (second == std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view id = line.substr(0, first);
    const std::string_view state = line.substr(first + 1, second - first - 1);
    if (!is_job_id(id) || !is_state(state)) {
      return std::nullopt;
    }
    jobs.push_back({std::string(id), std::string(state), std::string(line.substr(second + 1))});
  }
  return jobs;
}

std::optional<std::string> parse_sbatch(std::string_view text) {
  std::size_t begin = 0;
  std::string_view line = next_line(text, begin);
  if (begin < text.size()) {
    return std::nullopt;  // more than one line
  }
  line = line.substr(0, line.find(';'));
  if (line.empty() || line.size() > kMaxIdLength ||
      !std::all_of(line.begin(), line.end(), is_digit)) {
    return std::nullopt;
  }
  return std::string(line);
}

bool is_over(const SlurmJob& job) {
  constexpr std::array<std::string_view, 10> kOver = {
      "BOOT_FAIL", "CANCELLED",     "COMPLETED", "DEADLINE", "FAILED",
      "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",  "TIMEOUT"};
  return std::find(kOver.begin(), kOver.end(), job.state) != kOver.end();
}

bool is_undecided(const SlurmJob& job) {
  return job.state == "COMPLETING" || job.state == "STAGE_OUT";
}

bool is_passing_trouble(std::string_view error) {
  // Texts of slurm_strerror of 20.11 to 23.11, in lower case.
  constexpr std::array<std::string_view, 12> kPassing = {
      "unable to contact", "timed out",    "connection refused",
      "connection reset",  "zero bytes",   "communication",
      "temporarily",       "standby mode", "try again",
      "authentication",    "munge",        "socket"};
  std::string lower(error);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::any_of(kPassing.begin(), kPassing.end(),
                     [&](std::string_view text) { return lower.find(text) != std::string::npos; });
}

}  // namespace finescale
