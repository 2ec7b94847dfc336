// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/simulate.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>

#include "coordinator/campaign_core.h"
#include "coordinator/simulation/duties.h"
#include "coordinator/simulation/final_check.h"
#include "coordinator/simulation/simulated_artifacts.h"
#include "coordinator/simulation/simulated_cluster.h"
#include "coordinator/simulation/simulated_disk.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/stopwatch.h"

namespace finescale {

namespace {

// Thrown by a crash point: the simulated coordinator is no more.
struct Died {};

constexpr double kTickSeconds = 1;        // a real coordinator ticks oftener; nothing depends on it
constexpr double kSecondsToRestart = 15;  // until somebody starts another coordinator, at most
constexpr double kStandstill = 200;  // times the longest chain and the timeout, with nothing done
// While a group is written further calls come in, and make up the next.
constexpr double kGroupSeconds = 0.0002;
constexpr double kLongestGroup = 0.005;

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        faults_(options.faults, options.seed),
        artifacts_(options.directory, clock_),
        duties_(options.sweep, options.examples_per_second),
        referee_(options.sweep.resources().max_attempts(), options.sweep.resources().retry_delay(),
                 artifacts_),
        cluster_(
            {options.sweep.resources().gangs(), options.sweep.resources().heartbeat_timeout(),
             options.sweep.resources().orphan_timeout()},
            [this](const std::string& key) { return duties_.of(key); }, artifacts_, faults_, clock_,
            referee_),
        disk_([this] { return faults_.random().uniform(); }, [this] { return trouble(); }),
        logger_(make_null_logger()),
        hook_([this](std::string_view) {
          if (meets(Fault::kCrash)) {
            disk_.die();  // before anything that closes its files
            throw Died();
          }
        }) {}

  SimulationReport run() {
    const Stopwatch watch;
    while (!try_to_start()) {
      clock_.set(restart_at_);
    }
    report_.plan_seconds = watch.seconds();
    const Stopwatch run_watch;
    const double behind_before = coordinator_->book.seconds_behind();
    cluster_.wake_at(kTickSeconds);
    while (!is_over()) {
      step();
    }
    coordinator_->book.settle();
    busy_seconds_ += coordinator_->book.seconds_behind() - behind_before;
    report_.simulate_seconds = run_watch.seconds();
    finish();
    return report_;
  }

 private:
  // A coordinator's life.
  struct Coordinator {
    explicit Coordinator(Simulation& world)
        : book(world.options_.sweep, world.options_.directory, world.artifacts_,
               {[](const std::string& path) { return path; }, world.commits(), world.file_system(),
                world.plans()}) {
      book.open(false, world.clock_.unix_now());
      reactor = std::make_unique<Reactor>(
          reactor_options(world.options_.sweep.resources(), book.epoch()));
      core = std::make_unique<CampaignCore>(
          CampaignParts{world.options_.sweep, book, *reactor, world.cluster_, world.artifacts_,
                        world.cluster_, nullptr, world.clock_, *world.logger_});
      core->start();
      world.duties_.forget_order();
      world.duties_.learn(book, *reactor);
      for (const StageEntry& stage : reactor->stages()) {
        world.referee_.loaded(stage);
      }
      reactor->watch([&world](const StageEntry& stage, StageState from) {
        world.referee_.changed(stage, from, world.clock_.now());
      });
      world.referee_.started(book.epoch());
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
    } catch (const Error& error) {
      endure(error);
    }
    died();
    return false;
  }

  // A coordinator ends when it cannot write what it has decided; somebody makes room and starts
  // another. Anything else is a bug.
  static void endure(const Error& error) {
    if (error.kind() != ErrorKind::kResource && error.kind() != ErrorKind::kIo) {
      throw error;
    }
  }

  // Where a coordinator can die, or its disk be full, each commit ends before anything else
  // happens.
  [[nodiscard]] Commits commits() const {
    return with_faults_ ? Commits::kFlushed : Commits::kBehind;
  }

  [[nodiscard]] const char* file_system() const {
    return with_faults_ ? disk_.vfs_name() : nullptr;
  }

  // Of these simulations, or this one's own: coordinators plan the same.
  [[nodiscard]] PlanCache* plans() {
    return options_.plans != nullptr ? options_.plans : with_faults_ ? &plans_ : nullptr;
  }

  // Of the coordinator: it meets all stages that run.
  bool meets(Fault fault) {
    if (!faults_.happens(fault)) {
      return false;
    }
    referee_.touched_running(fault);
    return true;
  }

  // What a write of the store meets.
  SimulatedDisk::Trouble trouble() {
    if (is_finished_) {
      return SimulatedDisk::Trouble::kNone;
    }
    const bool was_full = artifacts_.is_full();
    if (meets(Fault::kCrash)) {
      return SimulatedDisk::Trouble::kDies;
    }
    if (!was_full && meets(Fault::kFull)) {
      artifacts_.fill();
    }
    return artifacts_.is_full() ? SimulatedDisk::Trouble::kFull : SimulatedDisk::Trouble::kNone;
  }

  void died() {
    if (coordinator_ != nullptr) {  // gangs may have orders of stages that it had just planned
      duties_.learn(coordinator_->book, *coordinator_->reactor);
    }
    disk_.die();
    coordinator_.reset();
    disk_.revive();
    artifacts_.lose_unsynced([this] { return faults_.random().uniform(); });
    cluster_.coordinator_down();
    ++report_.coordinators;
    restart_at_ = clock_.true_now() + kSecondsToRestart * faults_.random().uniform();
  }

  void step() {
    std::optional<RpcRequest> call;
    if (!cluster_.step(call) || stands_still()) {
      throw Error(ErrorKind::kInternal,
                  "the simulated campaign stands still with work left" + situation(), {},
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
        if (disk_.is_dead()) {
          died();
        }
      } catch (const Died&) {
        died();
      } catch (const Error& error) {
        endure(error);
        died();
      }
    }
  }

  [[nodiscard]] std::string situation() const {
    if (coordinator_ == nullptr) {
      return ": no coordinator";
    }
    const Reactor& reactor = *coordinator_->reactor;
    std::array<int, 5> count{};
    std::string waiting;
    for (const StageEntry& stage : reactor.stages()) {
      ++count[static_cast<std::size_t>(stage.stored.state)];
      if (stage.stored.state == StageState::kPending && waiting.empty()) {
        waiting = ", first " + stage.stored.key + " misses " + std::to_string(stage.missing) +
                  " of " + std::to_string(stage.sources.size());
      }
    }
    return ": " + std::to_string(count[0]) + " pending, " + std::to_string(count[1]) +
           " running, " + std::to_string(count[2]) + " done, " + std::to_string(count[3]) +
           " failed, " + std::to_string(reactor.gangs().size()) + " gangs" + waiting;
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
    if (++ticks_ % 60 == 0 && meets(Fault::kClock)) {
      clock_.sleep(3 * options_.sweep.resources().heartbeat_timeout() * faults_.random().uniform());
    }
  }

  void coordinate(const std::optional<RpcRequest>& call, bool tick) {
    const Stopwatch watch;
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
    if (!cluster_.is_next_within(kGroupSeconds) ||
        clock_.true_now() > flushed_at_ + kLongestGroup) {
      (void)core.flush();
      flushed_at_ = clock_.true_now();
    }
    if (coordinator_->reactor->launcher_is_broken()) {
      return died();  // somebody looks at the launcher and runs it again
    }
    busy_seconds_ += watch.seconds();
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
    for (const StageEntry& stage : reactor.stages()) {
      useful += stage.stored.state == StageState::kDone ? duties_.seconds(stage.stored.key) : 0;
    }
    const double gangs = options_.sweep.resources().gangs();
    report_.ideal_s = std::max(useful / gangs, duties_.longest_chain());
    report_.utilisation = useful / (gangs * report_.makespan_s);
    report_.lost_work_fraction = cluster_.lost_seconds() / (useful + cluster_.lost_seconds());
    report_.dispatch_us_per_stage = 1e6 * busy_seconds_ / static_cast<double>(report_.stages);
    for (std::size_t i = 0; i < kNumFaults; ++i) {
      report_.faults.emplace(fault_name(static_cast<Fault>(i)), faults_.counts()[i]);
    }
    check();
    report_.store_bytes = static_cast<double>(
        with_faults_ ? disk_.size_bytes()
                     : std::filesystem::file_size(options_.directory + "/store.sqlite"));
    struct rusage usage {};
    ::getrusage(RUSAGE_SELF, &usage);
    report_.memory_bytes = 1024.0 * static_cast<double>(usage.ru_maxrss);
  }

  void check() {
    FinalCheck final(duties_, options_.sweep.resources().max_attempts(),
                     options_.faults_are_harmless);
    final.stages(coordinator_->reactor->stages());
    const std::size_t trials = coordinator_->book.trials().size();
    const bool is_adaptive = coordinator_->book.is_adaptive();
    is_finished_ = true;
    coordinator_.reset();
    Store store(options_.directory, Commits::kBehind, file_system());
    final.store(store, with_faults_);
    if (is_adaptive) {
      final.journal(store, trials);
    }
    final.artifacts(artifacts_);
    report_.failed_stages = final.failed_stages();
    report_.coverage = referee_.coverage();
    report_.violations = final.violations();
    report_.violations.insert(report_.violations.end(), referee_.violations().begin(),
                              referee_.violations().end());
    std::sort(report_.violations.begin(), report_.violations.end());
  }

  const SimulationOptions& options_;
  const bool with_faults_ = options_.faults.any();  // then the store is on a disk that fails, too
  SimulationClock clock_;
  FaultSource faults_;
  SimulatedArtifacts artifacts_;
  Duties duties_;
  Referee referee_;
  SimulatedCluster cluster_;
  SimulatedDisk disk_;
  PlanCache plans_;
  std::shared_ptr<Logger> logger_;
  CrashHook hook_;
  std::unique_ptr<Coordinator> coordinator_;
  SimulationReport report_;
  double restart_at_ = 0;
  double next_tick_ = 0;
  double flushed_at_ = 0;
  bool is_finished_ = false;
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
