// SPDX-License-Identifier: Apache-2.0
// What one rank is doing in its groups: every call of a Group is entered here and left again. Owned
// by the groups that were split from one world; the watchdog and the trace read it. All threads of
// the rank may call. Nothing here allocates per call.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "comm/rank_report.h"
#include "comm/where.h"

namespace finescale {

class Trace;

enum class CallKind : std::uint8_t { kCollective, kSend, kReceive };

// A collective that this rank has entered.
struct EnteredCollective {
  const char* operation = "";
  Where where;
};

// One group of this rank.
struct GroupRecord {
  static constexpr std::size_t kNumRecent = 8;  // enough to see what a rank did instead

  std::uint64_t id = 0;  // equal on all ranks of the group
  std::string name;
  std::vector<int> members;  // ranks of the world, in the order of the group
  std::atomic<std::uint64_t> bytes_sent{0};

  // The rest belongs to the monitor. Sequence numbers begin at 1, one count for each CallKind.
  std::array<std::uint64_t, 3> num_begun{};
  std::array<EnteredCollective, kNumRecent> recent{};  // by sequence number modulo kNumRecent
  bool in_collective = false;
};

// One call in progress; lives on the stack of its caller.
struct Call {
  const char* operation = "";
  CallKind kind = CallKind::kCollective;
  GroupRecord* group = nullptr;
  int peer = -1;  // rank of the world; -1 for a collective
  int tag = 0;
  std::uint64_t bytes = 0;  // handed to other ranks
  Where where;

  std::uint64_t sequence = 0;
  std::chrono::steady_clock::time_point begin;
  Call* previous = nullptr;
  Call* next = nullptr;
};

class CommMonitor {
 public:
  CommMonitor() = default;
  ~CommMonitor() = default;
  CommMonitor(const CommMonitor&) = delete;
  CommMonitor& operator=(const CommMonitor&) = delete;

  void add(GroupRecord& group);
  void remove(GroupRecord& group) noexcept;

  // Throws when another thread of this rank is in a collective of the same group: their order on
  // the other ranks would be a matter of luck.
  void enter(Call& call);
  void leave(Call& call) noexcept;

  // Not owned; null: no trace. Change it while no call is in progress.
  void set_trace(Trace* trace) noexcept { trace_.store(trace, std::memory_order_release); }
  [[nodiscard]] Trace* trace() const noexcept { return trace_.load(std::memory_order_acquire); }

  [[nodiscard]] RankReport report() const;
  // Payload handed to other ranks so far, summed over the living groups of a name.
  [[nodiscard]] std::map<std::string, std::uint64_t> bytes_sent() const;
  [[nodiscard]] double longest_wait_s() const;  // of the calls in progress; 0: none

 private:
  mutable std::mutex mutex_;
  Call* newest_ = nullptr;  // list of the calls in progress
  std::vector<GroupRecord*> groups_;
  Call last_;  // the call that ended last; its group's name is last_group_
  std::array<char, 32> last_group_{};
  std::chrono::steady_clock::time_point last_end_;
  std::atomic<Trace*> trace_{nullptr};
};

// Enters a call for the time of a scope.
class CallScope {
 public:
  CallScope(CommMonitor& monitor, const Call& call) : monitor_(monitor), call_(call) {
    monitor_.enter(call_);
  }
  ~CallScope() { monitor_.leave(call_); }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

 private:
  CommMonitor& monitor_;
  Call call_;
};

}  // namespace finescale
