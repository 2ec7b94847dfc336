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

#include "checkpoint/manifest.h"
#include "comm/rpc/address.h"
#include "comm/rpc/server.h"
#include "configs/canonical.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/reactor.h"
#include "coordinator/status.h"
#include "coordinator/store.h"
#include "coordinator/sweep_changes.h"
#include "coordinator/trial_text.h"
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
    open();
    RpcServer server("127.0.0.1", token_);
    server_ = &server;
    write_address(directory_, {"127.0.0.1", server.port(), token_, epoch_, ::getpid()});
    started_ = clock_.now();
    reactor_ = std::make_unique<Reactor>(reactor_options());
    load();
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
  void open() {
    make_directories(directory_ + "/artifacts");
    make_directories(directory_ + "/attempts");
    make_directories(directory_ + "/logs");
    make_directories(directory_ + "/sweeps");
    epoch_ = std::stoll(store_.meta("coordinator_epoch").value_or("0")) + 1;
    token_ = random_token();
    const std::string text = canonical_text(sweep_);
    const auto known = store_.meta("sweep");
    if (known) {
      refuse_changes(*known, sweep_, directory_);
    }
    store_.begin();
    store_.set_meta("coordinator_epoch", std::to_string(epoch_));
    store_.set_meta("sweep", text);
    if (!store_.meta("started")) {
      store_.set_meta("started", std::to_string(clock_.unix_now()));
    }
    store_.commit();
    write_file_atomically(directory_ + "/sweeps/" + sweep_.name() + ".txt", text);
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

  // Plans with the tuning decisions that are stored, and brings store and reactor to that plan.
  void load() {
    tuned_ = store_.tuned();
    const Plan plan = make_plan(
        sweep_, [this](const std::string& path) { return hashes_(path); }, tuned_);
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
    for (const PlannedTrial& trial : plan.trials) {
      for (const std::string& key : trial.stages) {
        first_trial.emplace(key, trial.id);
      }
    }
    crash_point("coordinator.before_plan");
    store_.begin();
    for (const std::string& key : plan.graph.order) {
      if (!stored.contains(key)) {
        const config::StageSpec& spec = plan.graph.stages.at(key);
        StoredStage stage;
        stage.key = key;
        stage.label = spec.label();
        stage.spec = canonical_text(spec);
        adopt_artifact(stage);
        store_.put_stage(stage);
        stored.emplace(key, stage);
      }
    }
    for (const PlannedTrial& trial : plan.trials) {
      store_.put_trial({trial.id, trial_text(trial), stopped.contains(trial.id)});
    }
    store_.set_meta("stages_unshared", std::to_string(plan.stages_unshared));
    store_.commit();
    crash_point("coordinator.after_plan");
    stages_unshared_ = plan.stages_unshared;
    trials_ = plan.trials;
    for (const std::string& key : plan.graph.order) {
      StageEntry entry;
      entry.stored = stored.at(key);
      // Published, but its transaction never came: the artifact is the proof.
      if (entry.stored.state == StageState::kPending ||
          entry.stored.state == StageState::kRunning) {
        if (adopt_artifact(entry.stored)) {
          store_.begin();
          store_.put_stage(entry.stored);
          store_.commit();
        }
      }
      entry.inputs = plan.graph.inputs.at(key);
      entry.trial = first_trial[key];
      reactor_->add_stage(std::move(entry), clock_.now());
    }
  }

  // Whether artifacts/<key> is there and good; then the stage takes its result.
  bool adopt_artifact(StoredStage& stage) const {
    const std::string artifact = directory_ + "/artifacts/" + stage.key;
    if (!std::filesystem::exists(artifact + "/manifest.json") ||
        !verify_manifest(artifact, false).empty()) {
      return false;
    }
    proto::StageResult result;
    if (!result.ParseFromString(read_file(artifact + "/result.pb"))) {
      return false;
    }
    const bool diverged = result.outcome() == proto::StageResult::DIVERGED;
    stage.state = diverged ? StageState::kFailed : StageState::kDone;
    stage.error_kind = diverged ? "diverged" : "";
    stage.error = diverged ? result.why() : "";
    stage.gang = 0;
    stage.result = result.SerializeAsString();
    return true;
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

  [[nodiscard]] std::string attempt_dir(const std::string& key, std::int64_t epoch) const {
    return directory_ + "/attempts/" + key + "-" + std::to_string(epoch);
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
    reply.set_attempt_dir(attempt_dir(a.key, stage.stored.epoch));
    for (std::int64_t epoch = stage.stored.epoch - 1; epoch > 0; --epoch) {
      if (std::filesystem::exists(attempt_dir(a.key, epoch))) {
        reply.add_resume_dirs(attempt_dir(a.key, epoch));
      }
    }
    for (const std::string& input : stage.inputs) {
      reply.add_input_dirs(directory_ + "/artifacts/" + input);
    }
    reply.set_trial(stage.trial);
    reply.set_thread_shares(a.thread_shares);
    server_->answer(a.request, reply);
  }

  void publish(const Publish& a) {
    const std::string& key = a.commit.key();
    const std::string attempt = attempt_dir(key, a.commit.epoch());
    const std::string artifact = directory_ + "/artifacts/" + key;
    proto::CommitReply reply;
    proto::StageResult result;
    std::string why;
    try {
      if (a.commit.attempt_dir() != attempt ||
          hash_file(attempt + "/manifest.json") != a.commit.manifest_hash()) {
        why = "the attempt's manifest is not what was committed";
      } else if (const auto problems = verify_manifest(attempt, false); !problems.empty()) {
        why = problems.front();
      } else if (!result.ParseFromString(read_file(attempt + "/result.pb"))) {
        why = "result.pb cannot be read";
      } else {
        crash_point("coordinator.before_publish_artifact");
        (void)publish_artifact(attempt, artifact);
        crash_point("coordinator.after_publish_artifact");
      }
    } catch (const Error& error) {
      why = error.what();
    }
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
    for (std::int64_t epoch = 1; epoch <= a.commit.epoch(); ++epoch) {
      std::error_code code;
      std::filesystem::remove_all(attempt_dir(key, epoch), code);
    }
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
  [[nodiscard]] bool all_resolved() const {
    return std::all_of(trials_.begin(), trials_.end(), [&](const PlannedTrial& t) {
      return t.resolved || group_failed(t.tune_group);
    });
  }

  [[nodiscard]] bool group_failed(const std::string& group) const {
    bool any = false;
    for (const PlannedTrial& trial : trials_) {
      if (trial.is_tuning && trial.tune_group == group) {
        if (trial_state(trial, false, reactor_->stages()) != "failed") {
          return false;
        }
        any = true;
      }
    }
    return any;
  }

  // The tuning metric of a finished tuning trial; infinite when it failed (it diverged, say),
  // nothing while it runs.
  [[nodiscard]] std::optional<double> tuning_value(const PlannedTrial& trial) const {
    const std::string state = trial_state(trial, false, reactor_->stages());
    if (state == "failed") {
      return std::numeric_limits<double>::infinity();
    }
    if (state != "done") {
      return std::nullopt;
    }
    for (auto key = trial.stages.rbegin(); key != trial.stages.rend(); ++key) {
      proto::StageResult result;
      (void)result.ParseFromString(reactor_->stages().at(*key).stored.result);
      for (const proto::EvalRow& row : result.evals()) {
        if (row.set() + "." + row.metric() == sweep_.tune().metric()) {
          const bool higher_is_better = row.metric() == "exact_match";
          return higher_is_better ? -row.value() : row.value();
        }
      }
    }
    throw Error(ErrorKind::kConfig, "tuning trials do not measure " + sweep_.tune().metric(),
                "tune.metric", "let an evaluate stage of the trial measure it");
  }

  void decide_tuning() {
    if (!sweep_.has_tune()) {
      return;
    }
    std::map<std::string, std::pair<double, const PlannedTrial*>> best;
    std::set<std::string> open;
    for (const PlannedTrial& trial : trials_) {
      if (!trial.is_tuning || tuned_.contains(trial.tune_group)) {
        continue;
      }
      const std::optional<double> value = tuning_value(trial);
      if (!value) {
        open.insert(trial.tune_group);
        continue;
      }
      auto [it, is_new] = best.emplace(trial.tune_group, std::pair(*value, &trial));
      if (!is_new && *value < it->second.first) {  // ties go to the earlier, smaller value
        it->second = {*value, &trial};
      }
    }
    bool decided = false;
    for (const auto& [group, winner] : best) {
      if (open.contains(group) || !std::isfinite(winner.first)) {
        continue;
      }
      store_.begin();
      for (const auto& [path, value] : winner.second->tuned) {
        store_.put_tuned(group, path, value);
        clear_line();
        logger_.info("tuned {}: {} = {} ({} {:.5g})", group, path, value, sweep_.tune().metric(),
                     std::abs(winner.first));
      }
      store_.commit();
      crash_point("coordinator.after_tuning_decision");
      decided = true;
    }
    if (decided) {
      load();
    }
  }

  [[nodiscard]] bool any_failed() const {
    return std::any_of(trials_.begin(), trials_.end(), [&](const PlannedTrial& t) {
      return trial_state(t, false, reactor_->stages()) == "failed" ||
             (!t.resolved && group_failed(t.tune_group));
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

  // Stops the stages that no other trial needs.
  void stop_trials(const std::set<std::string>& names, proto::ControlReply& reply) {
    std::set<std::string> needed;
    std::set<std::string> known;
    for (const PlannedTrial& trial : trials_) {
      known.insert(trial.id);
      if (!names.contains(trial.id)) {
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
      stopped_.push_back(trial.id);
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
