// SPDX-License-Identifier: Apache-2.0
// The gangs that a coordinator knows: those that it has launched, and those of the one before. Ids
// are never used twice. One thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "comm/proto/gang.pb.h"

namespace finescale {

enum class GangState { kLaunching, kIdle, kRunning, kLost };

struct GangEntry {
  std::int64_t id = 0;
  GangState state = GangState::kLaunching;  // changed by set_state alone
  bool is_adopted =
      false;  // launched by an earlier coordinator: its silence is no fault of the launcher
  bool is_queued = false;  // has no place yet
  double last_seen = 0;
  double launched_at = 0;
  std::string key;               // stage it runs
  std::int64_t last_number = 0;  // of its calls for work
  std::uint64_t waiting = 0;     // request id of a Next that is held back (see wait, stop_waiting)
  int most = 1;                  // stages that it takes in one order
  double waiting_since = 0;
  double idle_since = 0;
  std::string host;
  int ranks = 0;
};

class GangTable {
 public:
  using Gangs = std::map<std::int64_t, GangEntry>;  // by id

  GangEntry& launch(bool is_queued, double now);
  // One of an earlier coordinator, which is silent until it registers again.
  GangEntry& adopt(std::int64_t id, bool is_queued, double now);
  // Ids up to this one are used up, whatever became of their gangs.
  void reserve(std::int64_t last) { last_ = std::max(last_, last); }
  void set_state(GangEntry& gang, GangState state);
  void forget_lost();

  void wait(GangEntry& gang, std::uint64_t request, double now);
  [[nodiscard]] std::uint64_t stop_waiting(GangEntry& gang);  // the request that it waited for
  // Gangs that wait, by id.
  [[nodiscard]] const std::set<std::int64_t>& waiting() const noexcept { return waiting_; }

  // Null: unknown or lost.
  [[nodiscard]] GangEntry* find(std::int64_t id);
  // A call that was sent before one that has been heard: what it says of the gang is not true any
  // more.
  [[nodiscard]] static bool is_late(GangEntry& gang, const proto::Caller& caller);

  [[nodiscard]] std::int64_t num_alive() const {
    return static_cast<std::int64_t>(gangs_.size()) - count(GangState::kLost);
  }
  [[nodiscard]] std::int64_t num_running() const { return count(GangState::kRunning); }
  [[nodiscard]] int num_on_host(const std::string& host) const;  // that have called
  [[nodiscard]] Gangs& all() noexcept { return gangs_; }
  [[nodiscard]] const Gangs& all() const noexcept { return gangs_; }

 private:
  [[nodiscard]] std::int64_t count(GangState state) const {
    return counts_[static_cast<std::size_t>(state)];
  }
  GangEntry& add(GangEntry gang, double now);

  Gangs gangs_;
  std::set<std::int64_t> waiting_;
  std::array<std::int64_t, 4> counts_{};  // of gangs in each state
  std::int64_t last_ = 0;
};

}  // namespace finescale
