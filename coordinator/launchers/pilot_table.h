// SPDX-License-Identifier: Apache-2.0
// The jobs of a pool, each of which is a gang: what became of them, by what Slurm says, and what to
// ask of Slurm next. A job is known by its name (campaign, coordinator epoch, gang), which is
// submitted once at most: ids are used again, and an answer of sbatch may be lost. No processes and
// no clock. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/launchers/launcher.h"
#include "coordinator/launchers/slurm_commands.h"

namespace finescale {

struct PilotPatience {
  double unsure_s = 60;  // how long a job that sbatch may have made is looked for
  double short_s = 30;   // a job that ran for less did no good
  double delay_s = 10;   // before the next job after one that did no good; doubled each time
  double max_delay_s = 600;
};

class PilotTable {
 public:
  // `prefix`: how names of the campaign's pilots begin.
  PilotTable(std::string prefix, const PilotPatience& patience)
      : prefix_(std::move(prefix)), patience_(patience), delay_(patience.delay_s) {}

  void add(const GangLaunch& launch);  // not submitted before saved()
  void saved(std::int64_t gang);
  void adopt(const GangLaunch& launch, std::int64_t epoch, double now);
  void cancel(std::int64_t gang);

  // A pilot to be submitted now, which the caller does; or nothing.
  [[nodiscard]] const GangLaunch* next_to_submit(double now);
  [[nodiscard]] bool can_submit(double now) const;
  [[nodiscard]] std::string name_of(std::int64_t gang) const;
  void submitted(std::int64_t gang, const SlurmAnswer& answer, double now);
  // All of this user's jobs. Those of the campaign that the store does not know, and that no newer
  // coordinator made, are to end.
  void looked(const std::vector<SlurmJob>& jobs, double now);
  // Names of jobs that are to end: asked for again until they have.
  [[nodiscard]] std::vector<std::string> to_cancel() const;
  // Whether a look at squeue can tell anything new.
  [[nodiscard]] bool is_worth_a_look() const;

  // Since the last call.
  [[nodiscard]] std::vector<GangExit> take_ended() { return std::exchange(ended_, {}); }
  [[nodiscard]] std::vector<std::int64_t> take_begun() { return std::exchange(begun_, {}); }
  [[nodiscard]] std::vector<std::string> take_news() { return std::exchange(news_, {}); }
  // What Slurm said to a job when there was no other: the sweep file asks for what it has not.
  [[nodiscard]] const std::string& refusal() const noexcept { return refusal_; }

 private:
  enum class Phase { kUnsaved, kWaiting, kSubmitting, kUnsure, kQueued, kRunning };
  struct Pilot {
    GangLaunch launch;
    std::string name;
    Phase phase = Phase::kUnsaved;
    std::string job;   // id, for people
    double since = 0;  // of the phase
    bool is_ending = false;
  };
  using Pilots = std::map<std::int64_t, Pilot>;

  void note_state(Pilot& pilot, const SlurmJob& job, double now);
  Pilots::iterator end(Pilots::iterator pilot, std::string why, bool is_blameless, double now);
  void after_loss(bool did_good, double now);
  [[nodiscard]] bool any_other(std::int64_t gang) const;
  [[nodiscard]] bool is_older(std::string_view name) const;
  [[nodiscard]] std::string full_name(std::int64_t epoch, std::int64_t gang) const;

  std::string prefix_;
  PilotPatience patience_;
  Pilots pilots_;                       // by gang
  std::vector<std::string> strangers_;  // jobs of the campaign that the store does not know
  std::vector<GangExit> ended_;
  std::vector<std::int64_t> begun_;
  std::vector<std::string> news_;
  std::string refusal_;
  double delay_;
  double not_before_ = 0;   // of the next submission
  std::int64_t epoch_ = 0;  // of this coordinator
};

// Whether the end of a job in this state says nothing about what it ran: its time was up, it was
// cancelled or preempted, its node was lost.
[[nodiscard]] bool was_taken_away(const std::string& state);

}  // namespace finescale
