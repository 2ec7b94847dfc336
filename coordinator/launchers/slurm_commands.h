// SPDX-License-Identifier: Apache-2.0
// squeue, sbatch, scancel and scontrol, by argv. Slurm may answer late, wrongly or not at all for a
// while: each call has a time limit, and what may be asked again is, with a growing delay.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/launchers/slurm_answers.h"
#include "core/clock.h"

namespace finescale {

struct SlurmPatience {
  double call_s = 60;  // sbatch itself tries for up to a minute on a busy controller
  double first_delay_s = 1;
  double max_delay_s = 20;
  double give_up_s = 300;  // a controller that is started again is back long before
};

// What became of a call that changes something.
enum class SlurmOutcome { kDone, kRefused, kUnknown };

struct SlurmAnswer {
  SlurmOutcome outcome = SlurmOutcome::kUnknown;
  std::string text;  // the job's id, or what Slurm said
};

class SlurmCommands {
 public:
  // `say` is told of troubles while they last.
  SlurmCommands(const SlurmPatience& patience, std::function<void(const std::string&)> say)
      : patience_(patience), say_(std::move(say)) {}

  // This user's jobs in any state that Slurm remembers. Blocks until Slurm gives a sensible answer;
  // throws kResource when squeue is missing or none comes in time.
  [[nodiscard]] std::vector<SlurmJob> jobs() const;
  // The same, asked once: nothing, and why, when Slurm does not answer with sense.
  [[nodiscard]] std::optional<std::vector<SlurmJob>> jobs_now(std::string& trouble) const;
  // Once; kUnknown: the job may have been made. Throws kResource when sbatch is missing.
  [[nodiscard]] SlurmAnswer submit(const std::string& script, const std::string& name) const;
  // Ends all of this user's jobs of that name. Once; kUnknown: it may not have been heard.
  [[nodiscard]] SlurmAnswer cancel(const std::string& name) const;
  // Once; throws kResource when scontrol is missing.
  [[nodiscard]] SlurmAnswer requeue(const std::string& job) const;

  [[nodiscard]] const SlurmPatience& patience() const noexcept { return patience_; }
  void say(const std::string& text) const { say_(text); }

 private:
  SlurmPatience patience_;
  std::function<void(const std::string&)> say_;
};

// Growing delays up to the end of the patience, which the calls between them use up too.
class BackOff {
 public:
  explicit BackOff(const SlurmPatience& patience);
  // Blocks for the next delay; false, at once, when it would end after the patience.
  [[nodiscard]] bool pause();
  [[nodiscard]] double next_delay() const noexcept { return delay_; }

 private:
  SystemClock clock_;
  double delay_;
  double max_delay_;
  double end_;
};

}  // namespace finescale
