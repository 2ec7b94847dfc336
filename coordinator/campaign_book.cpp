// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_book.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "configs/canonical.h"
#include "coordinator/kept_trials.h"
#include "coordinator/stage_work.h"
#include "coordinator/status.h"
#include "coordinator/sweep_changes.h"
#include "coordinator/trial_text.h"
#include "core/crash_point.h"
#include "core/files.h"

namespace finescale {

CampaignBook::CampaignBook(const config::Sweep& sweep, const std::string& directory,
                           Artifacts& artifacts, BookOptions options)
    : sweep_(sweep),
      directory_(directory),
      artifacts_(artifacts),
      store_(directory, options.durable),
      hashes_(directory + "/content.json"),
      hash_(options.hash ? std::move(options.hash)
                         : [this](const std::string& path) { return hashes_(path); }) {}

void CampaignBook::open(bool extend, double unix_now) {
  if (const auto known = store_.meta("sweep"); known && extend) {
    refuse_all_but_additions(*known, sweep_, directory_);
  } else if (known) {
    refuse_changes(*known, sweep_, directory_);
  }
  make_stored_plan();
  for (const char* folder : {"/artifacts", "/attempts", "/logs", "/sweeps"}) {
    make_directories(directory_ + folder);
  }
  epoch_ = std::stoll(store_.meta("coordinator_epoch").value_or("0")) + 1;
  const std::string text = canonical_text(sweep_);
  store_.begin();
  store_.set_meta("coordinator_epoch", std::to_string(epoch_));
  store_.set_meta("sweep", text);
  store_.set_meta("content", hashes_.used_text());
  if (search_->is_adaptive() && store_.decisions().empty()) {
    for (const Observation& one : decided_) {
      store_.add_decision({one.point, "start"});
    }
  }
  if (!store_.meta("started")) {
    store_.set_meta("started", std::to_string(unix_now));
  }
  store_.commit();
  write_file_atomically(directory_ + "/sweeps/" + sweep_.name() + ".txt", text);
}

// The plan under the tuning decisions and trial names of the store. Throws kConfig when it would
// change what the store holds.
void CampaignBook::make_stored_plan() {
  tuned_ = store_.tuned();
  planner_ = std::make_unique<Planner>(sweep_, hash_);
  search_ = make_search(sweep_.search(), planner_->grid().space(sweep_));
  const std::vector<std::uint64_t> points = journalled();
  planner_->add(points, tuned_);
  loaded_stages_ = 0;
  loaded_trials_ = 0;
  decided_.clear();
  for (const std::uint64_t point : search_->is_adaptive() ? points : std::vector<std::uint64_t>()) {
    decided_.push_back({point});
  }
  hashes_.refuse_changes(store_.meta("content").value_or("{}"));
  name_trials();
}

// What was decided; in a new campaign how its search begins.
std::vector<std::uint64_t> CampaignBook::journalled() {
  std::vector<std::uint64_t> points;
  for (const StoredDecision& decision : store_.decisions()) {
    points.push_back(decision.point);
  }
  return points.empty() ? search_->next({}) : points;
}

// Trials keep the names that the store has for them.
void CampaignBook::name_trials() {
  std::vector<PlannedTrial> stored;
  std::vector<std::string> stopped;
  for (const StoredTrial& trial : store_.trials()) {
    stored.push_back(trial_from_text(trial.text));
    if (trial.stopped) {
      stopped.push_back(trial.id);
    }
  }
  keep_trials(stored, sweep_, directory_, planner_->plan());
  stopped_ = std::move(stopped);
}

void CampaignBook::load(Reactor& reactor, double now) {
  std::map<std::string, StoredStage> stages;
  if (loaded_stages_ == 0) {
    for (StoredStage& stage : store_.stages()) {
      stages.emplace(stage.key, std::move(stage));
    }
  }
  const std::set<std::string> unwanted = unwanted_trunks(stages);
  crash_point("coordinator.before_plan");
  put_plan(reactor, unwanted, stages);
  crash_point("coordinator.after_plan");
  const std::map<std::string, std::string> first_trial = first_trials();
  const StageGraph& graph = plan().graph;
  for (; loaded_stages_ < graph.order.size(); ++loaded_stages_) {
    const std::string& key = graph.order[loaded_stages_];
    if (unwanted.contains(key)) {
      continue;
    }
    const std::string& start = graph.stages.start(key);
    StageEntry entry;
    entry.stored = std::move(stages.extract(key).mapped());
    entry.inputs = graph.inputs.at(key);
    entry.trial = first_trial.at(key);
    entry.trains = graph.stages.at(key).has_train();
    entry.work = graph.stages.work_until_end(key);
    entry.work_before = start.empty() ? 0 : graph.stages.work_until_end(start);
    planner_->plan().graph.stages.release(key);
    reactor.add_stage(std::move(entry), now);
  }
  loaded_trials_ = plan().trials.size();
}

// Of each new stage the trial that names it, or for a trunk one that starts from it.
std::map<std::string, std::string> CampaignBook::first_trials() const {
  std::map<std::string, std::string> first;
  for (std::size_t i = loaded_trials_; i < plan().trials.size(); ++i) {
    for (const std::string& key : plan().trials[i].stages) {
      first.emplace(key, plan().trials[i].id);
    }
  }
  const StageGraph& graph = plan().graph;
  for (std::size_t i = graph.order.size(); i-- > loaded_stages_;) {
    for (const std::string& input : graph.inputs.at(graph.order[i])) {
      first.emplace(input, first.at(graph.order[i]));
    }
  }
  return first;
}

// Trunks that a plan of all trials at once would have, but that no stage still to be run reads:
// trials that were planned one after another have run without them.
std::set<std::string> CampaignBook::unwanted_trunks(
    const std::map<std::string, StoredStage>& stages) const {
  std::set<std::string> unwanted;
  if (stages.empty()) {
    return unwanted;
  }
  const StageGraph& graph = plan().graph;
  std::set<std::string> read;
  for (auto key = graph.order.rbegin(); key != graph.order.rend(); ++key) {  // readers first
    const auto stored = stages.find(*key);
    if (stored == stages.end() && !read.contains(*key) && graph.stages.at(*key).train().trunk()) {
      unwanted.insert(*key);
    } else if (stored == stages.end() || stored->second.state != StageState::kDone) {
      read.insert(graph.inputs.at(*key).begin(), graph.inputs.at(*key).end());
    }
  }
  return unwanted;
}

// Settles and stores what is new or changed, in one transaction. `stages` are those of the store,
// then those of the plan too.
void CampaignBook::put_plan(const Reactor& reactor, const std::set<std::string>& unwanted,
                            std::map<std::string, StoredStage>& stages) {
  store_.begin();
  put_stages(reactor, unwanted, stages);
  stop_unplanned(stages);
  for (std::size_t i = loaded_trials_; i < plan().trials.size(); ++i) {
    const PlannedTrial& trial = plan().trials[i];
    store_.put_trial({trial.id, trial_text(trial), is_stopped(trial.id)});
  }
  store_.set_meta("stages_unshared", std::to_string(plan().stages_unshared));
  store_.set_meta("content", hashes_.used_text());  // a tuning decision may bring in files
  store_.commit();
}

void CampaignBook::put_stages(const Reactor& reactor, const std::set<std::string>& unwanted,
                              std::map<std::string, StoredStage>& stages) {
  const StageGraph& graph = plan().graph;
  std::set<std::string> needed;  // by a trial that is not stopped; all, where none is
  for (const PlannedTrial& trial : stopped_.empty() ? std::vector<PlannedTrial>() : plan().trials) {
    if (!is_stopped(trial.id)) {
      needed.merge(with_inputs(trial.stages, graph));
    }
  }
  for (std::size_t i = loaded_stages_; i < graph.order.size(); ++i) {
    const std::string& key = graph.order[i];
    if (unwanted.contains(key)) {
      continue;
    }
    auto [it, is_new] = stages.try_emplace(key);
    StoredStage& stage = it->second;
    const StageState before = stage.state;
    bool is_changed = is_new;
    if (is_new) {
      stage.key = key;
      const config::StageSpec spec = graph.stages.at(key);
      stage.label = spec.label();
      stage.spec = canonical_text(spec);
    }
    if (!reactor.stages().contains(key)) {  // what it has it knows better
      settle(stage, stopped_.empty() || needed.contains(key));
      is_changed = is_changed || start_as_planned(stage);
    }
    if (is_changed || stage.state != before) {
      store_.put_stage(stage);
    }
    stage.spec = std::string();  // the store has it: a gang's order is rare
  }
}

// Trunks of an earlier plan that nothing starts from now.
void CampaignBook::stop_unplanned(std::map<std::string, StoredStage>& stages) {
  for (auto& [key, stage] : stages) {
    const bool is_open = stage.state == StageState::kPending || stage.state == StageState::kRunning;
    if (is_open && !plan().graph.inputs.contains(key)) {
      stage.state = StageState::kStopped;
      stage.gang = 0;
      store_.put_stage(stage);
    }
  }
}

// The key says what a stage makes, not which trunk it starts from: another plan may choose another.
bool CampaignBook::start_as_planned(StoredStage& stage) const {
  if (stage.state == StageState::kDone) {
    return false;
  }
  std::string text = canonical_text(plan().graph.stages.at(stage.key));
  const bool differs = text != stage.spec;
  stage.spec = std::move(text);
  return differs;
}

// A stage that is published although its transaction never came takes its result: the artifact is
// the proof. What only stopped trials need is stopped, and goes on when another trial needs it.
void CampaignBook::settle(StoredStage& stage, bool is_needed) const {
  const bool is_open = stage.state == StageState::kPending || stage.state == StageState::kRunning ||
                       stage.state == StageState::kStopped;
  if (is_open && artifacts_.adopt(stage)) {
    return;
  }
  if (stage.state == StageState::kPending && !is_needed) {
    stage.state = StageState::kStopped;
  } else if (stage.state == StageState::kStopped && is_needed) {
    stage.state = StageState::kPending;
  }
}

std::vector<TuningDecision> CampaignBook::decide_tuning(const Reactor& reactor) {
  if (!sweep_.has_tune()) {
    return {};
  }
  std::vector<TuningDecision> decisions =
      tuning_decisions(sweep_.tune(), plan().trials, reactor.stages(), tuned_);
  for (const TuningDecision& decision : decisions) {
    store_.begin();
    for (const auto& [path, value] : decision.values) {
      store_.put_tuned(decision.group, path, value);
    }
    store_.commit();
    crash_point("coordinator.after_tuning_decision");
  }
  if (!decisions.empty()) {
    make_stored_plan();
  }
  return decisions;
}

std::size_t CampaignBook::decide_search(const Reactor& reactor) {
  if (!search_->is_adaptive()) {
    return 0;
  }
  const std::string metric = search_metric(sweep_.search());
  for (std::size_t i = 0; i < decided_.size(); ++i) {
    if (decided_[i].outcome != Outcome::kOpen) {
      continue;
    }
    const PlannedTrial& trial = plan().trials[i];
    const std::optional<double> value = is_stopped(trial.id)
                                            ? std::numeric_limits<double>::infinity()
                                            : measured(trial, reactor.stages(), metric, "search");
    if (value) {
      decided_[i].cost = cost_of(metric, *value);
      decided_[i].outcome = std::isfinite(decided_[i].cost) ? Outcome::kMeasured : Outcome::kLost;
    }
  }
  const std::vector<std::uint64_t> points = search_->next(decided_);
  if (points.empty()) {
    return 0;
  }
  store_.begin();
  for (const std::uint64_t point : points) {
    store_.add_decision({point, "after " + std::to_string(decided_.size()) + " trials"});
    decided_.push_back({point});
  }
  store_.commit();
  crash_point("coordinator.after_search_decision");
  planner_->add(points, tuned_);
  return points.size();
}

void CampaignBook::update_stage(const StoredStage& stage) {
  store_.begin();
  store_.update_stage(stage);
  store_.commit();
}

void CampaignBook::put_gang(std::int64_t id, std::int64_t pid) {
  store_.begin();
  store_.put_gang({id, pid, ""});
  store_.commit();
}

void CampaignBook::remove_gang(std::int64_t id) {
  store_.begin();
  store_.remove_gang(id);
  store_.commit();
}

void CampaignBook::put_stopped(const PlannedTrial& trial) {
  if (!is_stopped(trial.id)) {
    stopped_.push_back(trial.id);
  }
  store_.begin();
  store_.put_trial({trial.id, trial_text(trial), true});
  store_.commit();
}

bool CampaignBook::is_stopped(const std::string& trial) const {
  return std::find(stopped_.begin(), stopped_.end(), trial) != stopped_.end();
}

std::set<std::string> CampaignBook::lost_groups(const Reactor& reactor) const {
  return sweep_.has_tune()
             ? undecidable_groups(sweep_.tune(), plan().trials, reactor.stages(), tuned_)
             : std::set<std::string>();
}

bool CampaignBook::all_resolved(const Reactor& reactor) const {
  const std::set<std::string> lost = lost_groups(reactor);
  return std::all_of(plan().trials.begin(), plan().trials.end(), [&](const PlannedTrial& trial) {
    return trial.resolved || lost.contains(trial.tune_group);
  });
}

bool CampaignBook::any_failed(const Reactor& reactor) const {
  const std::set<std::string> lost = lost_groups(reactor);
  return std::any_of(plan().trials.begin(), plan().trials.end(), [&](const PlannedTrial& trial) {
    return planned_state(trial, is_stopped(trial.id), reactor.stages(), lost) == "failed";
  });
}

}  // namespace finescale
