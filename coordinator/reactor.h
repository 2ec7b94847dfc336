// SPDX-License-Identifier: Apache-2.0
// The scheduler's state machine: events in, actions out. No sockets, no clock, no files: the
// campaign loop feeds it and carries its outbox out in order. A stage is leased to one gang under
// an epoch that is never used twice; whatever comes with an older epoch is refused.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "coordinator/gang_table.h"
#include "coordinator/reactor_actions.h"
#include "coordinator/reactor_options.h"
#include "coordinator/stage_failures.h"
#include "coordinator/stage_orders.h"
#include "coordinator/stage_table.h"

namespace finescale {

class Reactor {
 public:
  explicit Reactor(const ReactorOptions& options) : options_(options) {}
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor() = default;

  // Stages come with their stored state; running ones keep their lease until it expires or its gang
  // comes back.
  void add_stage(StageEntry stage, double now);
  void adopt_gang(std::int64_t id,
                  double now);  // a gang of an earlier coordinator that is still alive
  // Ids up to this one are used up, whatever became of their gangs.
  void reserve_gangs(std::int64_t last) { gangs_.reserve(last); }

  [[nodiscard]] Outbox on_tick(double now);
  [[nodiscard]] Outbox on_register(std::uint64_t request, const proto::RegisterRequest& message,
                                   double now);
  [[nodiscard]] Outbox on_next(std::uint64_t request, const proto::NextRequest& message,
                               double now);
  // Of a call that has committed, and is not held back: WAIT when nothing is ready.
  [[nodiscard]] Outbox on_next_at_once(std::uint64_t request, const proto::NextRequest& message,
                                       double now);
  [[nodiscard]] Outbox on_heartbeat(std::uint64_t request, const proto::HeartbeatRequest& message,
                                    double now);
  [[nodiscard]] Outbox on_commit(std::uint64_t request, const proto::CommitRequest& message,
                                 double now);
  [[nodiscard]] Outbox on_fail(std::uint64_t request, const proto::FailRequest& message,
                               double now);
  void on_gang_begun(std::int64_t gang, double now);  // it has its place
  // Blameless: taken away from outside, so that its stage has used up no attempt.
  [[nodiscard]] Outbox on_gang_exit(std::int64_t gang, int code, const std::string& reason,
                                    double now, bool is_blameless = false);

  // The commit's artifact is published: the entry holds its final state (to be stored by the
  // caller); what else changes (dependents of a diverged stage) comes back as actions.
  [[nodiscard]] Outbox committed(const std::string& key, const proto::StageResult& result);
  // Whether this gang may commit the stage now.
  [[nodiscard]] bool is_leased(const std::string& key, std::int64_t epoch, std::int64_t gang) {
    return leased(key, epoch, gang) != nullptr;
  }
  // The artifact was not good: the attempt failed.
  [[nodiscard]] Outbox commit_refused(const std::string& key, const std::string& why, double now);

  // A done stage's artifact is damaged: the stage runs again, and who reads it waits.
  [[nodiscard]] Outbox artifact_lost(const std::string& key, const std::string& why);

  void stop() { stopping_ = true; }  // everything: gangs are told to save and go
  [[nodiscard]] Outbox stop_stage(const std::string& key);
  [[nodiscard]] bool stopping() const noexcept { return stopping_; }
  [[nodiscard]] bool all_settled() const { return !any_future_work(); }
  // Stages that are done, failed or stopped: what decides by results need not look while it stays.
  [[nodiscard]] std::int64_t num_settled() const;
  [[nodiscard]] bool any_gang() const { return gangs_.num_alive() > 0; }
  [[nodiscard]] const StageEntries& stages() const noexcept { return stages_.all(); }
  [[nodiscard]] const GangTable::Gangs& gangs() const noexcept { return gangs_.all(); }
  // Told of every change of a stage's state, behind it.
  void watch(std::function<void(const StageEntry&, StageState from)> watcher) {
    stages_.watch(std::move(watcher));
  }
  [[nodiscard]] int gang_failures() const noexcept { return launch_failures_; }
  // Gangs in a row ended before their first call, none is left and none will be launched.
  [[nodiscard]] bool launcher_is_broken() const;
  // How the last of them ended; empty when none did.
  [[nodiscard]] const std::string& launch_failure() const noexcept { return launch_failure_; }

 private:
  [[nodiscard]] bool any_future_work() const;  // a stage pending or running
  [[nodiscard]] GangEntry* known(const proto::Caller& caller);
  // The stage while this gang holds it under this epoch, else null.
  [[nodiscard]] StageEntry* leased(const std::string& key, std::int64_t epoch, std::int64_t gang);
  void attempt_failed(StageEntry& stage, const std::string& kind, const std::string& message,
                      double now, Outbox& out, bool is_blameless = false);
  // All but these.
  void end_leases(const GangEntry& gang, const std::string& why, double now, Outbox& out,
                  const std::vector<StageEntry*>& kept = {}, bool is_blameless = false);

  // There is nothing to look for before then.
  void watch_within(double seconds, double since) {
    watch_at_ = std::min(watch_at_, since + seconds);
  }
  void watch_gangs(bool is_closing, double now, Outbox& out);
  void watch_leases(double now, Outbox& out);
  [[nodiscard]] std::int64_t wanted_gangs() const;
  void launch_gangs(double now, Outbox& out);
  void lose_gang(GangEntry& gang, const std::string& why, double now, Outbox& out,
                 bool is_blameless = false);

  // Leases that the gang says it holds, and does.
  [[nodiscard]] std::vector<StageEntry*> held_by(const GangEntry& gang,
                                                 const proto::RegisterRequest& message);
  void stop_waiting(GangEntry& gang, proto::NextReply::Order order, Outbox& out);
  void serve_waiting(double now, Outbox& out);
  void serve(GangEntry& gang, double now, Outbox& out);
  [[nodiscard]] CommitPart judge(proto::CommitRequest commit, const GangEntry* gang, Outbox& out);

  ReactorOptions options_;
  StageTable stages_;
  GangTable gangs_;
  StageFailures failures_{options_, stages_};
  StageOrders orders_{options_, stages_, gangs_};
  std::int64_t num_positions_ = 0;
  int launch_failures_ = 0;  // gangs lost in a row before their first call
  std::string launch_failure_;
  bool stopping_ = false;
  double watch_at_ = 0;  // when a gang or a lease may next be lost
};

}  // namespace finescale
