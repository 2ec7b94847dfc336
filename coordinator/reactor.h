// SPDX-License-Identifier: Apache-2.0
// The scheduler's state machine: events in, actions out. No sockets, no clock, no files: the
// campaign loop feeds it and carries its outbox out in order. A stage is leased to one gang under
// an epoch that is never used twice; whatever comes with an older epoch is refused.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "comm/proto/gang.pb.h"
#include "coordinator/pace.h"
#include "coordinator/stage_table.h"
#include "core/random.h"

namespace finescale {

struct ReactorOptions {
  int gangs = 1;
  int max_attempts = 3;
  double heartbeat_timeout = 60;
  double launch_timeout = 120;  // from the launch of a gang to its first call
  // Gangs wait for their place in a queue: as many are wanted as there are stages for, their launch
  // begins when they have it, and one without work for idle_timeout is sent away.
  bool queued_gangs = false;
  double idle_timeout = std::numeric_limits<double>::infinity();
  double retry_delay = 1;
  double retry_delay_max = 60;
  std::int64_t coordinator_epoch = 1;
  std::uint64_t seed = 1;  // of the back-off's jitter
};

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

// Actions, to be carried out in order.
struct LaunchGang {
  std::int64_t id;
};
struct KillGang {
  std::int64_t id;
  std::string why;
};
struct SaveStage {
  std::string key;
};  // write the entry's stored part
struct Reply {
  std::uint64_t request;
  std::variant<proto::RegisterReply, proto::NextReply, proto::HeartbeatReply, proto::CommitReply,
               proto::FailReply>
      reply;
};
struct Order {
  std::uint64_t request;
  std::string key;
  std::int64_t gang;
  int thread_shares = 1;          // gangs whose threads the stage may use
  std::vector<std::string> more;  // short stages behind it
};                                // save the leases, then answer Next with RUN
struct CommitPart {
  proto::CommitRequest commit;
  std::optional<proto::CommitReply> reply;  // absent: it is to be published
};
struct Publish {
  std::uint64_t request;
  std::int64_t gang;
  std::vector<CommitPart> parts;
};  // verify, rename, record, answer
// One answer to all parts of a commit.
[[nodiscard]] proto::CommitReply joined(std::vector<proto::CommitReply> replies);
using Action = std::variant<LaunchGang, KillGang, SaveStage, Reply, Order, Publish>;
using Outbox = std::vector<Action>;

class Reactor {
 public:
  explicit Reactor(const ReactorOptions& options)
      : options_(options), jitter_(options.seed, Purpose::kJitter) {}

  // Stages come with their stored state; running ones keep their lease until it expires or its gang
  // comes back.
  void add_stage(StageEntry stage, double now);
  void adopt_gang(std::int64_t id,
                  double now);  // a gang of an earlier coordinator that is still alive
  // Ids up to this one are used up, whatever became of their gangs.
  void reserve_gangs(std::int64_t last) { last_gang_ = std::max(last_gang_, last); }

  [[nodiscard]] Outbox on_tick(double now);
  [[nodiscard]] Outbox on_register(std::uint64_t request, const proto::RegisterRequest& message,
                                   double now);
  [[nodiscard]] Outbox on_next(std::uint64_t request, const proto::NextRequest& message,
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

  void stop();  // everything: gangs are told to save and go
  [[nodiscard]] Outbox stop_stage(const std::string& key);
  [[nodiscard]] bool stopping() const noexcept { return stopping_; }
  [[nodiscard]] bool all_settled() const;  // no stage pending or running
  // Stages that are done, failed or stopped: what decides by results need not look while it stays.
  [[nodiscard]] std::int64_t num_settled() const;
  [[nodiscard]] bool any_gang() const;
  [[nodiscard]] const StageEntries& stages() const noexcept { return stages_.all(); }
  [[nodiscard]] const std::map<std::int64_t, GangEntry>& gangs() const noexcept { return gangs_; }
  // Told of every change of a stage's state, behind it.
  void watch(std::function<void(const StageEntry&, StageState from)> watcher) {
    stages_.watch(std::move(watcher));
  }
  [[nodiscard]] int gang_failures() const noexcept { return launch_failures_; }

 private:
  [[nodiscard]] int thread_shares(const GangEntry& gang) const;
  [[nodiscard]] bool any_future_work() const;
  [[nodiscard]] StageEntry* leased(const std::string& key, std::int64_t epoch, std::int64_t gang);
  void serve_waiting(double now, Outbox& out);
  void lease(StageEntry& stage, GangEntry& gang, double now);
  [[nodiscard]] Order order_for(GangEntry& gang, StageEntry& first, double now);
  [[nodiscard]] std::size_t most_stages(const GangEntry& gang) const;
  [[nodiscard]] std::optional<double> short_seconds(const StageEntry& stage) const;
  [[nodiscard]] CommitPart judge(proto::CommitRequest commit, const GangEntry* gang, Outbox& out);
  void attempt_failed(StageEntry& stage, const std::string& kind, const std::string& message,
                      double now, Outbox& out, bool is_blameless = false);
  void fail_dependents(const StageEntry& source, const std::string& why, Outbox& out);
  void fail_what_cannot_run(Outbox& out);
  void doom_if_input_failed(const StageEntry& stage);
  // All but these.
  void end_leases(const GangEntry& gang, const std::string& why, double now, Outbox& out,
                  const std::vector<StageEntry*>& kept = {}, bool is_blameless = false);
  [[nodiscard]] std::int64_t wanted_gangs() const;
  void launch_gangs(double now, Outbox& out);
  void lose_gang(GangEntry& gang, const std::string& why, double now, Outbox& out,
                 bool is_blameless = false);
  void serve(GangEntry& gang, double now, Outbox& out);
  [[nodiscard]] GangEntry* known(std::int64_t id, std::int64_t coordinator_epoch);
  [[nodiscard]] static bool is_late(GangEntry& gang, const proto::Caller& caller);

  ReactorOptions options_;
  Random jitter_;
  StageTable stages_;
  Pace pace_;
  std::map<std::int64_t, GangEntry> gangs_;
  std::int64_t last_gang_ = 0;
  std::int64_t num_positions_ = 0;
  int launch_failures_ = 0;          // gangs lost in a row before their first call
  std::vector<std::string> doomed_;  // pending while an input has failed
  bool stopping_ = false;
};

}  // namespace finescale
