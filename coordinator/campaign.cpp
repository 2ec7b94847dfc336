// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "comm/rpc/address.h"
#include "comm/rpc/server.h"
#include "configs/canonical.h"
#include "coordinator/artifacts.h"
#include "coordinator/kept_trials.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/reactor.h"
#include "coordinator/status.h"
#include "coordinator/store.h"
#include "coordinator/sweep_changes.h"
#include "coordinator/trial_text.h"
#include "coordinator/tuning.h"
#include "core/clock.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

std::string random_token() {
  std::random_device
      device;  // the operating system's entropy: this one number is a secret, not an experiment
  std::array<std::uint32_t, 8> words{};
  std::generate(words.begin(), words.end(), [&] { return device(); });
  return hash_hex({reinterpret_cast<const char*>(words.data()), sizeof words});
}

class CampaignLoop {
 public:
  CampaignLoop(const CampaignOptions& options, Logger& logger)
      : options_(options),
        sweep_(options.sweep),
        directory_(options.directory),
        logger_(logger),
        store_(directory_),
        hashes_(directory_ + "/content.json"),
        launcher_(make_launcher(sweep_.resources().launcher())) {}

  int run() {
    const Plan plan = open();
    RpcServer server("127.0.0.1", token_);
    server_ = &server;
    write_address(directory_, {"127.0.0.1", server.port(), token_, epoch_, ::getpid()});
    started_ = clock_.now();
    reactor_ = std::make_unique<Reactor>(reactor_options());
    load(plan);
    adopt_gangs();
    logger_.info("{}: {} trials, {} stages ({} before sharing), in {}", sweep_.name(),
                 trials_.size(), reactor_->stages().size(), stages_unshared_, directory_);
    const int code = loop();
    publish_status(final_state(code), true);
    std::filesystem::remove(directory_ + "/coordinator.json");
    if (options_.live_line) {
      std::fputc('\n', stderr);
    }
    return code;
  }

 private:
  // ---------------------------------------------------------------- start
  // The plan; nothing is written before the sweep and the data are known to be the campaign's.
  Plan open() {
    const auto known = store_.meta("sweep");
    if (known && options_.extend) {
      refuse_all_but_additions(*known, sweep_, directory_);
    } else if (known) {
      refuse_changes(*known, sweep_, directory_);
    }
    Plan plan = make_stored_plan();
    make_directories(directory_ + "/artifacts");
    make_directories(directory_ + "/attempts");
    make_directories(directory_ + "/logs");
    make_directories(directory_ + "/sweeps");
    epoch_ = std::stoll(store_.meta("coordinator_epoch").value_or("0")) + 1;
    token_ = random_token();
    const std::string text = canonical_text(sweep_);
    store_.begin();
    store_.set_meta("coordinator_epoch", std::to_string(epoch_));
    store_.set_meta("sweep", text);
    store_.set_meta("content", hashes_.used_text());
    if (!store_.meta("started")) {
      store_.set_meta("started", std::to_string(clock_.unix_now()));
    }
    store_.commit();
    write_file_atomically(directory_ + "/sweeps/" + sweep_.name() + ".txt", text);
    return plan;
  }

  // The plan under the tuning decisions and trial names of the store. Throws kConfig when it would
  // change what the store holds.
  [[nodiscard]] Plan make_stored_plan() {
    tuned_ = store_.tuned();
    Plan plan = make_plan(
        sweep_, [this](const std::string& path) { return hashes_(path); }, tuned_);
    hashes_.refuse_changes(store_.meta("content").value_or("{}"));
    std::vector<PlannedTrial> stored;
    for (const StoredTrial& trial : store_.trials()) {
      stored.push_back(trial_from_text(trial.text));
    }
    keep_trials(stored, sweep_, directory_, plan);
    return plan;
  }

  [[nodiscard]] ReactorOptions reactor_options() const {
    const config::Resources& r = sweep_.resources();
    ReactorOptions o;
    o.gangs = r.gangs();
    o.max_attempts = r.max_attempts();
    o.heartbeat_timeout = r.heartbeat_timeout();
    o.retry_delay = r.retry_delay();
    o.retry_delay_max = r.retry_delay_max();
    o.coordinator_epoch = epoch_;
    return o;
  }

  // Brings store and reactor to the plan.
  void load(const Plan& plan) {
    std::map<std::string, StoredStage> stored;
    for (StoredStage& stage : store_.stages()) {
      stored.emplace(stage.key, std::move(stage));
    }
    std::set<std::string> stopped;
    for (const StoredTrial& trial : store_.trials()) {
      if (trial.stopped) {
        stopped.insert(trial.id);
      }
    }
    stopped_.assign(stopped.begin(), stopped.end());
    std::map<std::string, std::string> first_trial;
    std::set<std::string> needed;  // by a trial that is not stopped
    for (const PlannedTrial& trial : plan.trials) {
      for (const std::string& key : trial.stages) {
        first_trial.emplace(key, trial.id);
        if (!stopped.contains(trial.id)) {
          needed.insert(key);
        }
      }
    }
    crash_point("coordinator.before_plan");
    store_.begin();
    for (const std::string& key : plan.graph.order) {
      auto [it, is_new] = stored.try_emplace(key);
      StoredStage& stage = it->second;
      const StageState before = stage.state;
      if (is_new) {
        stage.key = key;
        stage.label = plan.graph.stages.at(key).label();
        stage.spec = canonical_text(plan.graph.stages.at(key));
      }
      settle(stage, needed.contains(key));
      if (is_new || stage.state != before) {
        store_.put_stage(stage);
      }
    }
    for (const PlannedTrial& trial : plan.trials) {
      store_.put_trial({trial.id, trial_text(trial), stopped.contains(trial.id)});
    }
    store_.set_meta("stages_unshared", std::to_string(plan.stages_unshared));
    store_.set_meta("content", hashes_.used_text());  // a tuning decision may bring in files
    store_.commit();
    crash_point("coordinator.after_plan");
    stages_unshared_ = plan.stages_unshared;
    trials_ = plan.trials;
    for (const std::string& key : plan.graph.order) {
      StageEntry entry;
      entry.stored = stored.at(key);
      entry.inputs = plan.graph.inputs.at(key);
      entry.trial = first_trial[key];
      reactor_->add_stage(std::move(entry), clock_.now());
    }
  }

  // A stage that is published although its transaction never came takes its result: the artifact is
  // the proof. What only stopped trials need is stopped, and goes on when another trial needs it.
  void settle(StoredStage& stage, bool is_needed) const {
    if (reactor_->stages().contains(stage.key)) {
      return;  // planned before; the reactor knows better
    }
    if (stage.state == StageState::kPending || stage.state == StageState::kRunning ||
        stage.state == StageState::kStopped) {
      if (adopt_artifact(directory_, stage)) {
        return;
      }
    }
    if (stage.state == StageState::kPending && !is_needed) {
      stage.state = StageState::kStopped;
    } else if (stage.state == StageState::kStopped && is_needed) {
      stage.state = StageState::kPending;
    }
  }

  void adopt_gangs() {
    for (const StoredGang& gang : store_.gangs()) {
      if (launcher_->adopt(gang.id, gang.pid)) {
        logger_.info("gang {} of the coordinator before is alive", gang.id);
        reactor_->adopt_gang(gang.id, clock_.now());
      } else {
        store_.begin();
        store_.remove_gang(gang.id);
        store_.commit();
      }
    }
  }

  // ---------------------------------------------------------------- loop
  int loop() {
    double stop_deadline = std::numeric_limits<double>::infinity();
    for (;;) {
      handle_requests();
      for (const GangExit& exit : launcher_->ended()) {
        store_.begin();
        store_.remove_gang(exit.gang);
        store_.commit();
        carry_out(reactor_->on_gang_exit(exit.gang, exit.code, clock_.now()));
      }
      decide_tuning();
      carry_out(reactor_->on_tick(clock_.now()));
      publish_status("running", false);
      const int signal = options_.stop_signal ? options_.stop_signal() : 0;
      if ((signal != 0 || stop_requested_) && !reactor_->stopping()) {
        logger_.info("stopping: gangs finish their step and save");
        reactor_->stop();
        stop_deadline = clock_.now() + 60;
      }
      if (reactor_->stopping() && (!reactor_->any_gang() || clock_.now() > stop_deadline)) {
        return signal != 0 ? 128 + signal : 0;
      }
      if (!reactor_->stopping() && reactor_->all_settled() && all_resolved() &&
          !reactor_->any_gang()) {
        return any_failed() ? 1 : 0;
      }
      if (reactor_->gang_failures() >= 3 && !reactor_->any_gang()) {
        throw Error(ErrorKind::kLaunch, "three gangs in a row ended before their first call",
                    directory_ + "/logs", "read logs/gang-*.log; finescale doctor checks mpirun");
      }
    }
  }

  void handle_requests() {
    for (RpcRequest& request : server_->take(reactor_->stopping() ? 0.05 : 0.1)) {
      const double now = clock_.now();
      std::visit(
          Overloaded{
              [&](const proto::RegisterRequest& m) {
                carry_out(reactor_->on_register(request.id, m, now));
              },
              [&](const proto::NextRequest& m) {
                decide_tuning();  // what the last commit settled may be what this gang does next
                carry_out(reactor_->on_next(request.id, m, now));
              },
              [&](const proto::HeartbeatRequest& m) {
                carry_out(reactor_->on_heartbeat(request.id, m, now));
              },
              [&](const proto::CommitRequest& m) {
                carry_out(reactor_->on_commit(request.id, m, now));
              },
              [&](const proto::FailRequest& m) {
                carry_out(reactor_->on_fail(request.id, m, now));
              },
              [&](const proto::ControlRequest& m) { server_->answer(request.id, control(m)); },
          },
          request.message);
    }
  }

  void carry_out(const Outbox& outbox) {
    for (const Action& action : outbox) {
      std::visit(Overloaded{
                     [&](const LaunchGang& a) { launch(a.id); },
                     [&](const KillGang& a) {
                       logger_.warn("gang {}: {}: killed", a.id, a.why);
                       launcher_->kill(a.id);
                     },
                     [&](const SaveStage& a) { save(a.key); },
                     [&](const Reply& a) {
                       std::visit([&](const auto& message) { server_->answer(a.request, message); },
                                  a.reply);
                     },
                     [&](const Order& a) { order(a); },
                     [&](const Publish& a) { publish(a); },
                 },
                 action);
    }
  }

  void launch(std::int64_t id) {
    const config::Resources& r = sweep_.resources();
    GangLaunch gang;
    gang.gang = id;
    gang.campaign = directory_;
    gang.ranks = r.ranks_per_gang();
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    gang.threads = r.threads_per_rank() > 0 ? r.threads_per_rank()
                                            : std::max(1, cores / (r.gangs() * r.ranks_per_gang()));
    gang.device = r.device() == config::DEVICE_KIND_CUDA  ? "cuda"
                  : r.device() == config::DEVICE_KIND_CPU ? "cpu"
                                                          : "auto";
    gang.orphan_timeout = r.orphan_timeout();
    gang.log_file = directory_ + "/logs/gang-" + std::to_string(id) + ".log";
    const std::int64_t pid = launcher_->start(gang);
    store_.begin();
    store_.put_gang({id, pid, ""});
    store_.commit();
    crash_point("coordinator.after_gang_launch");
  }

  void save(const std::string& key) {
    const StageEntry& stage = reactor_->stages().at(key);
    if (stage.stored.state == StageState::kFailed) {
      logger_.error("{} {}: {}", stage.trial, stage.stored.label, stage.stored.error);
    } else if (!stage.stored.error.empty()) {
      logger_.warn("{} {}: {} (attempt {}): will be tried again", stage.trial, stage.stored.label,
                   stage.stored.error, stage.stored.attempts);
    }
    store_.begin();
    store_.put_stage(stage.stored);
    store_.commit();
  }

  void order(const Order& a) {
    const StageEntry& stage = reactor_->stages().at(a.key);
    crash_point("coordinator.before_lease");
    store_.begin();
    store_.put_stage(stage.stored);
    store_.commit();
    crash_point("coordinator.after_lease");
    proto::NextReply reply;
    reply.set_order(proto::NextReply::RUN);
    reply.set_stage(stage.stored.spec);
    reply.set_epoch(stage.stored.epoch);
    reply.set_attempt_dir(attempt_directory(directory_, a.key, stage.stored.epoch));
    for (std::string& place : older_attempts(directory_, a.key, stage.stored.epoch)) {
      reply.add_resume_dirs(std::move(place));
    }
    for (const std::string& input : stage.inputs) {
      reply.add_input_dirs(artifact_directory(directory_, input));
    }
    reply.set_trial(stage.trial);
    reply.set_thread_shares(a.thread_shares);
    server_->answer(a.request, reply);
  }

  void publish(const Publish& a) {
    const std::string& key = a.commit.key();
    proto::CommitReply reply;
    proto::StageResult result;
    const std::string why = publish_attempt(directory_, a.commit, result);
    if (!why.empty()) {
      reply.set_accepted(false);
      reply.set_why(why);
      carry_out(reactor_->commit_refused(key, why, clock_.now()));
      server_->answer(a.request, reply);
      return;
    }
    const Outbox more = reactor_->committed(key, result);
    crash_point("coordinator.before_commit_transaction");
    save(key);
    crash_point("coordinator.after_commit_transaction");
    carry_out(more);
    remove_attempts(directory_, key, a.commit.epoch());
    reply.set_accepted(true);
    server_->answer(a.request, reply);
    report_done(key);
  }

  void report_done(const std::string& key) {
    const StageEntry& stage = reactor_->stages().at(key);
    proto::StageResult result;
    (void)result.ParseFromString(stage.stored.result);
    std::string values;
    for (const proto::EvalRow& row : result.evals()) {
      char text[128];
      std::snprintf(text, sizeof text, " %s.%s=%.5g", row.set().c_str(), row.metric().c_str(),
                    row.value());
      values += text;
    }
    if (!options_.live_line || !values.empty()) {
      clear_line();
      logger_.info("{} {} done in {:.1f} s{}", stage.trial, stage.stored.label, result.seconds(),
                   values);
    }
  }

  // ---------------------------------------------------------------- tuning
  // Groups that nothing will decide any more.
  [[nodiscard]] std::set<std::string> lost_groups() const {
    return sweep_.has_tune()
               ? undecidable_groups(sweep_.tune(), trials_, reactor_->stages(), tuned_)
               : std::set<std::string>();
  }

  [[nodiscard]] bool all_resolved() const {
    const std::set<std::string> lost = lost_groups();
    return std::all_of(trials_.begin(), trials_.end(), [&](const PlannedTrial& t) {
      return t.resolved || lost.contains(t.tune_group);
    });
  }

  void decide_tuning() {
    if (!sweep_.has_tune()) {
      return;
    }
    const std::vector<TuningDecision> decisions =
        tuning_decisions(sweep_.tune(), trials_, reactor_->stages(), tuned_);
    for (const TuningDecision& decision : decisions) {
      store_.begin();
      for (const auto& [path, value] : decision.values) {
        store_.put_tuned(decision.group, path, value);
        clear_line();
        logger_.info("tuned {}: {} = {} ({} {:.5g})", decision.group, path, value,
                     sweep_.tune().metric(), decision.metric);
      }
      store_.commit();
      crash_point("coordinator.after_tuning_decision");
    }
    if (!decisions.empty()) {
      load(make_stored_plan());
    }
  }

  [[nodiscard]] bool any_failed() const {
    const std::set<std::string> lost = lost_groups();
    return std::any_of(trials_.begin(), trials_.end(), [&](const PlannedTrial& t) {
      return planned_state(t, false, reactor_->stages(), lost) == "failed";
    });
  }

  // ---------------------------------------------------------------- control and status
  proto::ControlReply control(const proto::ControlRequest& request) {
    proto::ControlReply reply;
    reply.set_ok(true);
    if (request.command() == "status") {
      reply.set_json(status("running"));
    } else if (request.command() == "stop" && request.trials().empty()) {
      stop_requested_ = true;
      reply.set_message("stopping: gangs finish their step and save; finescale run continues");
    } else if (request.command() == "stop") {
      stop_trials({request.trials().begin(), request.trials().end()}, reply);
    } else {
      reply.set_ok(false);
      reply.set_message("unknown command " + request.command());
    }
    return reply;
  }

  // Stops the stages that no trial needs that goes on.
  void stop_trials(const std::set<std::string>& names, proto::ControlReply& reply) {
    std::set<std::string> needed;
    std::set<std::string> known;
    for (const PlannedTrial& trial : trials_) {
      known.insert(trial.id);
      const bool was_stopped =
          std::find(stopped_.begin(), stopped_.end(), trial.id) != stopped_.end();
      if (!names.contains(trial.id) && !was_stopped) {
        needed.insert(trial.stages.begin(), trial.stages.end());
      }
    }
    for (const std::string& name : names) {
      if (!known.contains(name)) {
        reply.set_ok(false);
        reply.set_message("no trial is called " + name);
        return;
      }
    }
    for (const PlannedTrial& trial : trials_) {
      if (!names.contains(trial.id)) {
        continue;
      }
      for (const std::string& key : trial.stages) {
        if (!needed.contains(key)) {
          carry_out(reactor_->stop_stage(key));
        }
      }
      if (std::find(stopped_.begin(), stopped_.end(), trial.id) == stopped_.end()) {
        stopped_.push_back(trial.id);
      }
      store_.begin();
      store_.put_trial({trial.id, trial_text(trial), true});
      store_.commit();
    }
    reply.set_message("stopped " + std::to_string(names.size()) + " trials");
  }

  std::string status(const std::string& state) {
    StatusInput in;
    in.campaign = sweep_.name();
    in.state = state;
    in.trials = &trials_;
    in.stopped_trials = &stopped_;
    in.reactor = reactor_.get();
    in.lost_groups = lost_groups();
    in.now = clock_.now();
    in.elapsed_s = in.now - started_;
    // Work is counted in stages that train, weighted by what is known of them: data budget times
    // epochs.
    for (const auto& [key, stage] : reactor_->stages()) {
      const double weight = work_of(stage);
      const bool settled =
          stage.stored.state != StageState::kPending && stage.stored.state != StageState::kRunning;
      in.total_work += weight;
      in.done_work += settled ? weight : 0;
      if (stage.stored.state == StageState::kRunning && stage.progress.steps() > 0) {
        in.done_work += weight * static_cast<double>(stage.progress.step()) /
                        static_cast<double>(stage.progress.steps());
      }
    }
    return status_json(in);
  }

  double work_of(const StageEntry& stage) {
    auto [it, is_new] = work_.emplace(stage.stored.key, 1.0);
    if (is_new) {
      config::StageSpec spec;
      parse_canonical(stage.stored.spec, spec);
      if (spec.has_train()) {
        const config::Train& train = spec.train().train();
        const double batch =
            train.batch().has_examples() ? static_cast<double>(train.batch().examples()) : 16;
        const double by_data = static_cast<double>(train.data_budget()) * train.epochs();
        it->second = train.has_tokens() ? static_cast<double>(train.tokens()) / 16
                     : train.has_steps()
                         ? static_cast<double>(train.steps()) * batch
                         : std::max(by_data, static_cast<double>(train.min_steps()) * batch);
      }
    }
    return it->second;
  }

  [[nodiscard]] std::string final_state(int code) const {
    return code == 0 && reactor_->all_settled() ? "done" : code == 1 ? "failed" : "interrupted";
  }

  void publish_status(const std::string& state, bool force) {
    const double now = clock_.now();
    if (!force && now - last_status_ < 1) {
      return;
    }
    last_status_ = now;
    const std::string json = status(state);
    write_file_atomically(directory_ + "/status.json", json + "\n");
    crash_point("coordinator.after_snapshot");
    if (options_.live_line) {
      std::fprintf(stderr, "\r\033[K%.200s", status_line(json).c_str());
      line_open_ = true;
    } else if (now - last_line_ > 15) {
      last_line_ = now;
      logger_.info("{}", status_line(json));
    }
  }

  void clear_line() {
    if (line_open_) {
      std::fputs("\r\033[K", stderr);
      line_open_ = false;
    }
  }

  const CampaignOptions& options_;
  const config::Sweep& sweep_;
  std::string directory_;
  Logger& logger_;
  SystemClock clock_;
  Store store_;
  ContentHashes hashes_;
  std::unique_ptr<Launcher> launcher_;
  std::unique_ptr<Reactor> reactor_;
  RpcServer* server_ = nullptr;
  std::string token_;
  std::int64_t epoch_ = 0;
  TunedValues tuned_;
  std::vector<PlannedTrial> trials_;
  std::vector<std::string> stopped_;
  std::map<std::string, double> work_;
  std::int64_t stages_unshared_ = 0;
  double started_ = 0;
  double last_status_ = -1e9;
  double last_line_ = 0;
  bool stop_requested_ = false;
  bool line_open_ = false;
};

}  // namespace

int run_campaign(const CampaignOptions& options, Logger& logger) {
  return CampaignLoop(options, logger).run();
}

}  // namespace finescale
