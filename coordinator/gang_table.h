// SPDX-License-Identifier: Apache-2.0
// The gangs that a coordinator knows: those that it has launched, and those of the one before. Ids
// are never used twice. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "comm/proto/gang.pb.h"

namespace finescale {

enum class GangState { kLaunching, kIdle, kRunning, kLost };

struct GangEntry {
  std::int64_t id = 0;
  GangState state = GangState::kLaunching;
  bool is_adopted =
      false;  // launched by an earlier coordinator: its silence is no fault of the launcher
  bool is_queued = false;  // has no place yet
  double last_seen = 0;
  double launched_at = 0;
  std::string key;               // stage it runs
  std::int64_t last_number = 0;  // of its calls for work
  std::uint64_t waiting = 0;     // request id of a Next that is held back
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
  void forget_lost();

  // Null: unknown or lost.
  [[nodiscard]] GangEntry* find(std::int64_t id);
  // A call that was sent before one that has been heard: what it says of the gang is not true any
  // more.
  [[nodiscard]] static bool is_late(GangEntry& gang, const proto::Caller& caller);

  [[nodiscard]] std::int64_t num_alive() const;
  [[nodiscard]] bool any_alive() const;
  [[nodiscard]] std::int64_t num_running() const;
  [[nodiscard]] int num_on_host(const std::string& host) const;  // that have called
  [[nodiscard]] Gangs& all() noexcept { return gangs_; }
  [[nodiscard]] const Gangs& all() const noexcept { return gangs_; }

 private:
  Gangs gangs_;
  std::int64_t last_ = 0;
};

}  // namespace finescale
