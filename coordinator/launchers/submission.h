// SPDX-License-Identifier: Apache-2.0
// One batch job per campaign, whatever Slurm says or does not say. Jobs are found again by name:
// campaign and epoch, since ids can be used twice. The epoch counts the jobs of a campaign.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "coordinator/launchers/slurm_commands.h"

namespace finescale {

struct Submission {
  std::string campaign;  // absolute
  std::string sweep;     // its name
  // Writes the script of a job of this name and returns its path. `after`: a job that must have
  // ended first, or empty.
  std::function<std::string(const std::string& name, const std::string& after)> write_script;
};

struct SubmittedJob {
  std::string id;
  std::string name;
  std::string state;    // of a job that was there
  bool is_new = false;  // false: a live job of this campaign was found, and nothing submitted
};

// What names of a campaign's jobs begin with.
[[nodiscard]] std::string job_prefix(const std::string& campaign, const std::string& sweep);

// Throws kConfig when Slurm refuses the job, kResource when it does not answer in time; then
// calling again is safe.
[[nodiscard]] SubmittedJob submit_once(const Submission& submission, const SlurmCommands& slurm);

// Inside the job `own`: requeues it, else submits a job that follows it. Returns what will go on.
[[nodiscard]] SubmittedJob go_on_later(const Submission& submission, const SlurmCommands& slurm,
                                       const std::string& own, bool may_requeue);

}  // namespace finescale
