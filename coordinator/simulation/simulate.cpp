// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/simulate.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include "coordinator/campaign_core.h"
#include "coordinator/simulation/duties.h"
#include "coordinator/simulation/simulated_artifacts.h"
#include "coordinator/simulation/simulated_cluster.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/log.h"

namespace finescale {

namespace {

using WallClock = std::chrono::steady_clock;

double seconds_since(WallClock::time_point begin) {
  return std::chrono::duration<double>(WallClock::now() - begin).count();
}

// Thrown by a crash point: the simulated coordinator is no more.
struct Died {};

constexpr double kTickSeconds = 1;        // a real coordinator ticks oftener; nothing depends on it
constexpr double kSecondsToRestart = 15;  // until somebody starts another coordinator, at most
constexpr double kStandstill = 200;  // times the longest chain and the timeout, with nothing done
constexpr int kLaunchFailures = 3;   // in a row: `run` gives up too

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        faults_(options.faults, options.seed),
        artifacts_(options.directory, faults_, clock_),
        duties_(options.sweep, options.examples_per_second),
        cluster_(
            {options.sweep.resources().heartbeat_timeout(),
             options.sweep.resources().orphan_timeout()},
            [this](const std::string& key) { return duties_.of(key); }, artifacts_, faults_,
            clock_),
        logger_(make_null_logger()),
        hook_([this](std::string_view) {
          if (faults_.happens(Fault::kCrash)) {
            throw Died();
          }
        }) {}

  SimulationReport run() {
    const WallClock::time_point begin = WallClock::now();
    while (!try_to_start()) {
    }
    report_.plan_seconds = seconds_since(begin);
    const WallClock::time_point started = WallClock::now();
    cluster_.wake_at(kTickSeconds);
    while (!is_over()) {
      step();
    }
    report_.simulate_seconds = seconds_since(started);
    finish();
    return report_;
  }

 private:
  // A coordinator's life.
  struct Coordinator {
    explicit Coordinator(Simulation& world)
        : book(world.options_.sweep, world.options_.directory, world.artifacts_,
               {[](const std::string& path) { return path; }, false}) {
      book.open(false, world.clock_.unix_now());
      reactor = std::make_unique<Reactor>(
          reactor_options(world.options_.sweep.resources(), book.epoch()));
      core = std::make_unique<CampaignCore>(
          CampaignParts{world.options_.sweep, book, *reactor, world.cluster_, world.artifacts_,
                        world.cluster_, nullptr, world.clock_, *world.logger_});
      core->start();
      world.duties_.forget_order();
      world.duties_.learn(book, *reactor);
    }
    CampaignBook book;
    std::unique_ptr<Reactor> reactor;
    std::unique_ptr<CampaignCore> core;
  };

  bool try_to_start() {
    try {
      coordinator_ = std::make_unique<Coordinator>(*this);
      cluster_.coordinator_up(coordinator_->book.epoch());
      return true;
    } catch (const Died&) {
      died();
      return false;
    }
  }

  void died() {
    if (coordinator_ != nullptr) {  // gangs may have orders of stages that it had just planned
      duties_.learn(coordinator_->book, *coordinator_->reactor);
    }
    coordinator_.reset();
    cluster_.coordinator_down();
    ++report_.coordinators;
    restart_at_ = clock_.true_now() + kSecondsToRestart * faults_.random().uniform();
  }

  void step() {
    std::optional<RpcRequest> call;
    if (!cluster_.step(call) || stands_still()) {
      throw Error(ErrorKind::kInternal, "the simulated campaign stands still with work left", {},
                  "this is a bug: report the sweep, the faults and the seed");
    }
    if (coordinator_ == nullptr && clock_.true_now() >= restart_at_) {
      (void)try_to_start();
    }
    const bool tick = clock_.true_now() >= next_tick_;
    if (tick) {
      next_tick_ = clock_.true_now() + kTickSeconds;
      cluster_.wake_at(next_tick_);
      sleep_sometimes();
    }
    if (coordinator_ != nullptr) {
      try {
        coordinate(call, tick);
      } catch (const Died&) {
        died();
      }
    }
  }

  [[nodiscard]] bool stands_still() {
    const std::int64_t settled = coordinator_ == nullptr ? 0 : coordinator_->reactor->num_settled();
    if (settled > settled_) {
      settled_ = settled;
      settled_at_ = clock_.true_now();
    }
    const double timeout = options_.sweep.resources().heartbeat_timeout();
    return clock_.true_now() - settled_at_ > kStandstill * (timeout + duties_.longest_chain());
  }

  void sleep_sometimes() {
    if (++ticks_ % 60 == 0 && faults_.happens(Fault::kClock)) {
      clock_.sleep(3 * options_.sweep.resources().heartbeat_timeout() * faults_.random().uniform());
    }
  }

  void coordinate(const std::optional<RpcRequest>& call, bool tick) {
    const WallClock::time_point begin = WallClock::now();
    CampaignCore& core = *coordinator_->core;
    if (call) {
      core.handle(*call);
      duties_.learn(coordinator_->book, *coordinator_->reactor);  // a search may have added trials
      tick = tick || std::holds_alternative<proto::CommitRequest>(call->message);
    }
    for (const GangExit& exit : cluster_.ended()) {
      core.gang_ended(exit);
      tick = true;
    }
    if (tick) {
      core.tick();
      duties_.learn(coordinator_->book, *coordinator_->reactor);
    }
    const Reactor& reactor = *coordinator_->reactor;
    if (!reactor.any_gang() && reactor.gang_failures() >= kLaunchFailures) {
      return died();  // somebody looks at the launcher and runs it again
    }
    busy_seconds_ += seconds_since(begin);
  }

  [[nodiscard]] bool is_over() const {
    return coordinator_ != nullptr && coordinator_->core->is_over();
  }

  void finish() {
    const Reactor& reactor = *coordinator_->reactor;
    report_.trials = static_cast<std::int64_t>(coordinator_->book.trials().size());
    report_.stages = static_cast<std::int64_t>(reactor.stages().size());
    report_.makespan_s = clock_.true_now();
    std::string trials;
    for (const PlannedTrial& trial : coordinator_->book.trials()) {
      trials.append(trial.id).append(" ").append(trial.stages.empty() ? "" : trial.stages.back());
      trials += '\n';
    }
    report_.trials_hash = hash_hex(trials);
    double useful = 0;
    for (const auto& [key, stage] : reactor.stages()) {
      if (stage.stored.label == "trunk" && stage.stored.state == StageState::kDone) {
        trunk_tokens_.insert(duties_.tokens(key));
      }
    }
    for (const auto& [key, stage] : reactor.stages()) {
      check(stage);
      useful += stage.stored.state == StageState::kDone ? duties_.seconds(key) : 0;
    }
    const double gangs = options_.sweep.resources().gangs();
    report_.ideal_s = std::max(useful / gangs, duties_.longest_chain());
    report_.utilisation = useful / (gangs * report_.makespan_s);
    report_.lost_work_fraction = cluster_.lost_seconds() / (useful + cluster_.lost_seconds());
    report_.dispatch_us_per_stage = 1e6 * busy_seconds_ / static_cast<double>(report_.stages);
    for (std::size_t i = 0; i < kNumFaults; ++i) {
      report_.faults.emplace(fault_name(static_cast<Fault>(i)), faults_.counts()[i]);
    }
    coordinator_.reset();
    check_store();
    report_.store_bytes =
        static_cast<double>(std::filesystem::file_size(options_.directory + "/store.sqlite"));
    struct rusage usage {};
    ::getrusage(RUSAGE_SELF, &usage);
    report_.memory_bytes = 1024.0 * static_cast<double>(usage.ru_maxrss);
  }

  void violation(const std::string& key, const std::string& what) {
    report_.violations.push_back(key + ": " + what);
  }

  void check(const StageEntry& stage) {
    const StoredStage& stored = stage.stored;
    states_[stored.key] = stored.state;
    if (stored.state == StageState::kFailed) {
      ++report_.failed_stages;
      if (stored.error_kind != "input" &&
          stored.attempts < options_.sweep.resources().max_attempts()) {
        violation(stored.key, "failed after " + std::to_string(stored.attempts) + " attempts");
      }
      return;
    }
    if (stored.state != StageState::kDone) {
      return violation(stored.key,
                       std::string("is ") + stage_state_name(stored.state) + " at the end");
    }
    proto::StageResult result;
    (void)result.ParseFromString(stored.result);
    if (result.tokens() != duties_.tokens(stored.key)) {
      violation(stored.key, "counts other tokens than it trained on");
    }
    // Of a trunk; which one may have changed with a later plan.
    if (result.has_inherited() && !trunk_tokens_.contains(result.inherited().tokens())) {
      violation(stored.key, "took over what no trunk has done");
    }
  }

  // What the file says is what the coordinator said; who has an artifact is done. Trunks of an
  // earlier plan are in the file alone.
  void check_store() {
    Store store(options_.directory, false);
    const std::map<std::string, StageState> stored = store.states();
    for (const auto& [key, state] : stored) {
      const auto known = states_.find(key);
      const bool is_open = state == StageState::kPending || state == StageState::kRunning;
      if (known == states_.end() ? is_open : known->second != state) {
        violation(key, std::string("is ") + stage_state_name(state) + " in the store");
      }
    }
    for (const auto& [key, state] : states_) {
      if (!stored.contains(key)) {
        violation(key, "is not in the store");
      }
    }
    for (const auto& [key, result] : artifacts_.published()) {
      const auto state = stored.find(key);
      if (state == stored.end() || state->second != StageState::kDone) {
        violation(key, "has an artifact, but is not done");
      }
    }
  }

  const SimulationOptions& options_;
  SimulationClock clock_;
  FaultSource faults_;
  SimulatedArtifacts artifacts_;
  Duties duties_;
  SimulatedCluster cluster_;
  std::shared_ptr<Logger> logger_;
  CrashHook hook_;
  std::unique_ptr<Coordinator> coordinator_;
  SimulationReport report_;
  std::map<std::string, StageState> states_;  // at the end
  std::set<std::int64_t> trunk_tokens_;       // that done trunks have trained on
  double restart_at_ = 0;
  double next_tick_ = 0;
  std::int64_t ticks_ = 0;
  std::int64_t settled_ = -1;  // stages, when it last rose
  double settled_at_ = 0;
  double busy_seconds_ = 0;  // of the coordinator, on this machine
};

}  // namespace

SimulationReport simulate(const SimulationOptions& options) {
  return Simulation(options).run();
}

}  // namespace finescale
