// SPDX-License-Identifier: Apache-2.0
// Gangs, the network between them and the coordinator, and time, as an event queue: what a campaign
// meets from outside. Gangs follow the protocol of real ones (register, next, heartbeat, commit)
// and outlive the coordinator. Deterministic: the same seed gives the same events.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "comm/rpc/server.h"
#include "coordinator/campaign_actions.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/simulation/faults.h"
#include "coordinator/simulation/referee.h"
#include "coordinator/simulation/simulated_artifacts.h"
#include "core/clock.h"

namespace finescale {

class SimulationClock final : public Clock {
 public:
  [[nodiscard]] double now() const override { return now_ + skew_; }
  [[nodiscard]] double unix_now() const override { return 1.6e9 + now(); }
  [[nodiscard]] double true_now() const noexcept { return now_; }
  void set(double now) { now_ = now; }
  void sleep(double seconds) { skew_ += seconds; }  // as seen by the coordinator

 private:
  double now_ = 0;
  double skew_ = 0;
};

// What executing a stage means.
struct StageDuty {
  double seconds = 0;
  proto::StageResult result;
};
using DutyOf = std::function<StageDuty(const std::string& key)>;

struct ClusterOptions {
  int gangs = 1;
  double heartbeat_timeout = 60;
  double orphan_timeout = 30;
  double save_seconds = 60;  // between checkpoints for resume
};

class SimulatedCluster : public Launcher, public AnswerSink {
 public:
  SimulatedCluster(const ClusterOptions& options, DutyOf duty_of, SimulatedArtifacts& artifacts,
                   FaultSource& faults, SimulationClock& clock, Referee& referee)
      : options_(options),
        duty_of_(std::move(duty_of)),
        artifacts_(artifacts),
        faults_(faults),
        clock_(clock),
        referee_(referee) {}

  // Moves time to the next event. A call for the coordinator, if that is what it is; nothing else
  // needs the caller. False: nothing will ever happen again.
  [[nodiscard]] bool step(std::optional<RpcRequest>& call);
  // Whether something happens this soon.
  [[nodiscard]] bool is_next_within(double seconds) const {
    return !events_.empty() && events_.front().at < clock_.true_now() + seconds;
  }
  // The coordinator's next tick is an event too: there is one at least this often.
  void wake_at(double true_time);

  // While it is down, calls find nobody.
  void coordinator_up(std::int64_t epoch) {
    epoch_ = epoch;
    up_since_ = clock_.true_now();
  }
  void coordinator_down() { epoch_ = 0; }

  std::int64_t start(const GangLaunch& launch) override;
  bool adopt(const GangLaunch& launch, std::int64_t pid) override;
  std::vector<GangExit> ended() override;
  void kill(std::int64_t gang) override;
  [[nodiscard]] int cores() const override { return 1; }
  void answer(std::uint64_t request, RpcReply reply) override;

  [[nodiscard]] double lost_seconds() const noexcept { return lost_seconds_; }

 private:
  enum class Doing { kStarting, kRegistering, kAsking, kWorking, kCommitting, kDead };
  struct Finished {  // and not committed
    std::string key;
    std::int64_t lease = 0;
    std::string directory;
    double seconds = 0;
    proto::StageResult result;  // STOPPED: it was not begun
  };
  struct Gang {
    std::int64_t id = 0;
    Doing doing = Doing::kStarting;
    std::int64_t epoch = 0;      // of the coordinator that it knows
    std::int64_t number = 0;     // of its last call
    std::uint64_t call = 0;      // that it waits for
    std::uint64_t serial = 0;    // of what it does: older events are not for it
    double silent_since = -1;    // no coordinator answers since
    bool is_silent = false;      // hangs
    bool has_committed = false;  // has asked for it
    std::string key;             // of its stage, "" without one
    std::int64_t lease = 0;
    std::string directory;
    double seconds = 0;  // of work in this attempt
    double begun = 0;
    double resumed_seconds = 0;  // that were done before
    proto::StageResult result;
    std::deque<proto::NextReply> queue;  // of its order: not begun
    std::vector<Finished> finished;
    double ordered_at = 0;
    std::string failure;  // kind of its error
    bool has_failed = false;
    std::int64_t launched_by = 0;  // epoch of the coordinator
    std::int64_t known_to = 0;     // the newest that accepted it
    bool is_given_up = false;      // some coordinator wanted to kill it
    double spoke_at = -1;          // on the coordinator's clock
  };
  struct Call {
    std::int64_t gang = 0;
    std::string key;  // that the gang holds
    std::int64_t lease = 0;
    std::int64_t epoch = 0;            // of the coordinator that is called
    std::vector<std::string> commits;  // stages, part by part; "": not begun
    bool was_over = false;             // the lease, when the coordinator heard it
  };
  enum class What {
    kWake,
    kLaunched,
    kCall,
    kAnswer,
    kTimeout,
    kBeat,
    kDone,
    kFail,
    kFlushed,
    kDie,
    kHang,
    kWakeUp
  };
  struct Event {
    double at = 0;
    std::uint64_t number = 0;  // ties in the order made
    What what = What::kWake;
    std::int64_t gang = 0;
    std::uint64_t serial = 0;
    std::int64_t epoch = 0;            // of the coordinator that is called
    std::unique_ptr<RpcRequest> call;  // apart: most events have neither
    std::unique_ptr<RpcReply> reply;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at != b.at ? a.at > b.at : a.number > b.number;
    }
  };

  void schedule(double delay, What what, const Gang& gang);
  void push(double delay, Event event);
  void happen(Event& event, std::optional<RpcRequest>& call);
  void enroll(Gang& gang);
  void ask(Gang& gang);
  void send(Gang& gang, RpcMessage message, double timeout);
  void hear(Gang& gang, const RpcReply& reply);
  void on_order(Gang& gang, const proto::NextReply& order);
  void begin(Gang& gang, const proto::NextReply& order);
  void done(Gang& gang);
  void go_on(Gang& gang);
  [[nodiscard]] proto::CommitRequest part(const Finished& finished);
  void committed(Gang& gang, const proto::CommitReply& reply);
  void begin_faults(Gang& gang, const proto::NextReply& order);
  void fail(Gang& gang);
  [[nodiscard]] bool meets(Fault fault, const Gang& gang);
  void judge(const Call& call, const RpcReply& reply);
  void judge_order(const proto::NextReply& order);
  void judge_unheard(std::uint64_t request, const RpcReply& reply);
  void judge_registration(const Call& call, const proto::RegisterReply& reply);
  void arrive(Event& event, std::optional<RpcRequest>& call);
  void save_progress(Gang& gang);
  void flush(Gang& gang);
  void commit(Gang& gang);
  void drop_stage(Gang& gang, bool is_lost);
  void die(Gang& gang, int code);
  [[nodiscard]] proto::Caller caller(const Gang& gang) const;

  ClusterOptions options_;
  DutyOf duty_of_;
  SimulatedArtifacts& artifacts_;
  FaultSource& faults_;
  SimulationClock& clock_;
  Referee& referee_;
  std::vector<Event> events_;  // a heap, the next one in front
  std::map<std::int64_t, Gang> gangs_;
  std::map<std::uint64_t, Call> calls_;     // open ones
  std::map<std::uint64_t, Call> repeated_;  // calls that came twice: nobody hears the answer
  std::set<std::uint64_t> older_calls_;     // to a coordinator before: they must be refused
  std::vector<GangExit> exits_;
  std::int64_t epoch_ = 0;  // of the coordinator; 0: there is none
  double up_since_ = 0;
  std::uint64_t num_events_ = 0;
  std::uint64_t num_calls_ = 0;
  double lost_seconds_ = 0;
};

}  // namespace finescale
