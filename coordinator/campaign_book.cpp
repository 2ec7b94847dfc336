// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_book.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "configs/canonical.h"
#include "coordinator/kept_trials.h"
#include "coordinator/plan_rows.h"
#include "coordinator/status.h"
#include "coordinator/sweep_changes.h"
#include "coordinator/trial_text.h"
#include "core/crash_point.h"
#include "core/files.h"

namespace finescale {

namespace {

bool is_file_with(const std::string& path, const std::string& text) {
  return path_exists(path) && read_file(path) == text;
}

}  // namespace

CampaignBook::CampaignBook(const config::Sweep& sweep, const std::string& directory,
                           Artifacts& artifacts, BookOptions options)
    : sweep_(sweep),
      directory_(directory),
      artifacts_(artifacts),
      store_(directory, options.commits, options.file_system),
      hashes_(directory + "/content.json"),
      hash_(options.hash ? std::move(options.hash)
                         : [this](const std::string& path) { return hashes_(path); }),
      plans_(options.plans),
      decisions_(sweep, store_) {}

void CampaignBook::open(bool extend, double unix_now) {
  const std::string text = plans_ != nullptr ? plans_->text(sweep_) : canonical_text(sweep_);
  const auto known = store_.meta("sweep");
  if (known && *known != text && extend) {
    refuse_all_but_additions(*known, sweep_, directory_);
  } else if (known && *known != text) {
    refuse_changes(*known, sweep_, directory_);
  }
  make_stored_plan();
  for (const char* folder : {"/artifacts", "/attempts", "/logs", "/sweeps"}) {
    make_directories(directory_ + folder);
  }
  epoch_ = std::stoll(store_.meta("coordinator_epoch").value_or("0")) + 1;
  store_.begin();
  store_.set_meta("coordinator_epoch", std::to_string(epoch_));
  store_.set_meta("sweep", text);
  store_.set_meta("content", hashes_.used_text());
  decisions_.journal_start();
  if (!store_.meta("started")) {
    store_.set_meta("started", std::to_string(unix_now));
  }
  store_.commit();
  if (const std::string path = directory_ + "/sweeps/" + sweep_.name() + ".txt";
      !is_file_with(path, text)) {
    write_file_atomically(path, text);
  }
}

// The plan under the tuning decisions and trial names of the store. Throws kConfig when it would
// change what the store holds.
void CampaignBook::make_stored_plan() {
  const std::vector<std::uint64_t> points =
      decisions_.replay(plans_ != nullptr ? plans_->space(sweep_) : AxisGrid(sweep_).space(sweep_));
  if (plans_ != nullptr) {
    planner_.reset();
    cached_ = &plans_->planner(sweep_, hash_, points, decisions_.tuned());
  } else {
    planner_ = std::make_unique<Planner>(sweep_, hash_);
    planner_->add(points, decisions_.tuned());
  }
  order_.begin_again();
  hashes_.refuse_changes(store_.meta("content").value_or("{}"));
  name_trials();
}

// Trials keep the names that the store has for them.
void CampaignBook::name_trials() {
  stored_trials_ = store_.trials();
  stopped_.clear();
  for (const StoredTrial& trial : stored_trials_) {
    if (trial.stopped) {
      stopped_.push_back(trial.id);
    }
  }
  const std::vector<PlannedTrial>& trials = plan().trials;
  const bool are_the_same = std::equal(
      trials.begin(), trials.end(), stored_trials_.begin(), stored_trials_.end(),
      [](const PlannedTrial& a, const StoredTrial& b) { return trial_text(a) == b.text; });
  if (are_the_same) {
    return;
  }
  std::vector<PlannedTrial> stored;
  for (const StoredTrial& trial : stored_trials_) {
    stored.push_back(trial_from_text(trial.text));
  }
  if (!stored.empty()) {
    keep_trials(stored, sweep_, directory_, own_planner().plan());
  }
}

Planner& CampaignBook::own_planner() {
  if (planner_ == nullptr) {
    planner_ = std::make_unique<Planner>(*cached_, sweep_, hash_);
  }
  return *planner_;
}

void CampaignBook::load(Reactor& reactor, double now) {
  crash_point("coordinator.before_plan");
  StoredStages stored = order_.is_first() ? stored_stages(store_, directory_) : StoredStages();
  const std::vector<StagePlace> places = order_.next(plan().graph, stored);
  std::vector<StoredStage> stages = put_plan(reactor, places, std::move(stored));
  crash_point("coordinator.after_plan");
  const std::vector<std::size_t> first_trial = order_.first_trials(plan());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::size_t trial = first_trial[static_cast<std::size_t>(places[i])];
    add_entry(reactor, places[i], std::move(stages[i]),
              trial < plan().trials.size() ? plan().trials[trial].id : "", now);
  }
  order_.taken_up(plan());
}

// One that the reactor has comes without a key.
void CampaignBook::add_entry(Reactor& reactor, StagePlace place, StoredStage stored,
                             const std::string& trial, double now) {
  if (stored.key.empty()) {
    return;
  }
  const StageGraph& graph = plan().graph;
  const StagePlace start = graph.stages.start(place);
  StageEntry entry;
  entry.stored = std::move(stored);
  for (const StagePlace input : graph.stages.inputs(place)) {
    entry.inputs.push_back(graph.stages.key(input));
  }
  entry.trial = trial;
  entry.trains = graph.stages.form(place).form.example().has_train();
  entry.work = graph.stages.work_until_end(place);
  entry.work_before = start == kNoStage ? 0 : graph.stages.work_until_end(start);
  reactor.add_stage(std::move(entry), now);
}

void CampaignBook::load_inputs_of(const std::string& key, Reactor& reactor, double now) {
  const StageGraph& graph = plan().graph;
  const std::vector<StagePlace> wanted = order_.inputs_left_out(graph, graph.stages.place(key));
  if (wanted.empty()) {
    return;
  }
  std::vector<StoredStage> stages = put_plan(reactor, wanted, {});
  const std::string trial = reactor.stages().at(key).trial;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    add_entry(reactor, wanted[i], std::move(stages[i]), trial, now);
  }
}

// Settles and stores what is new or changed, in one transaction.
std::vector<StoredStage> CampaignBook::put_plan(const Reactor& reactor,
                                                const std::vector<StagePlace>& places,
                                                StoredStages stored) {
  store_.begin();
  PlanRows rows(store_, artifacts_, plan(), stopped_);
  std::vector<StoredStage> stages = rows.put_stages(reactor.stages(), places, stored);
  rows.stop_unplanned(stored);
  for (std::size_t i = order_.num_trials(); i < plan().trials.size(); ++i) {
    const PlannedTrial& trial = plan().trials[i];
    StoredTrial now{trial.id, trial_text(trial), is_stopped(trial.id)};
    if (i >= stored_trials_.size() || stored_trials_[i] != now) {
      store_.put_trial(now);
    }
  }
  stored_trials_.clear();
  store_.set_meta("stages_unshared", std::to_string(plan().stages_unshared));
  store_.set_meta("content", hashes_.used_text());  // a tuning decision may bring in files
  store_.commit();
  return stages;
}

std::vector<TuningDecision> CampaignBook::decide_tuning(const Reactor& reactor) {
  std::vector<TuningDecision> decisions = decisions_.decide_tuning(plan().trials, reactor.stages());
  if (!decisions.empty()) {
    make_stored_plan();
  }
  return decisions;
}

std::size_t CampaignBook::decide_search(const Reactor& reactor) {
  const std::vector<std::uint64_t> points =
      decisions_.decide_search(plan().trials, reactor.stages(),
                               [this](const std::string& trial) { return is_stopped(trial); });
  if (!points.empty()) {
    own_planner().add(points, decisions_.tuned());
  }
  return points.size();
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
