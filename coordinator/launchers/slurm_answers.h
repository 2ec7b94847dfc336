// SPDX-License-Identifier: Apache-2.0
// What Slurm's programs print, read strictly: a line that is not understood makes the whole answer
// nonsense, which is asked for again and never acted on. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

struct SlurmJob {
  std::string id;
  std::string state;  // as Slurm writes it: PENDING, RUNNING, ...
  std::string name;
};

// The format that parse_squeue reads; the name comes last because it may hold anything.
inline constexpr const char* kSqueueFormat = "%i|%T|%j";

[[nodiscard]] std::optional<std::vector<SlurmJob>> parse_squeue(std::string_view text);

// The id that `sbatch --parsable` prints: "123" or "123;cluster".
[[nodiscard]] std::optional<std::string> parse_sbatch(std::string_view text);

// Whether the job has ended for good. A state that is not known counts as live.
[[nodiscard]] bool is_over(const SlurmJob& job);
// Ended or about to be requeued: Slurm does not say which yet.
[[nodiscard]] bool is_undecided(const SlurmJob& job);

// Whether an error text means that Slurm was not reached or was busy, so that the same call may be
// answered later.
[[nodiscard]] bool is_passing_trouble(std::string_view error);

}  // namespace finescale
