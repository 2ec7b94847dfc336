// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_book.h"

#include <algorithm>
#include <utility>

#include "configs/canonical.h"
#include "coordinator/artifacts.h"
#include "coordinator/kept_trials.h"
#include "coordinator/status.h"
#include "coordinator/sweep_changes.h"
#include "coordinator/trial_text.h"
#include "core/crash_point.h"
#include "core/files.h"

namespace finescale {

CampaignBook::CampaignBook(const config::Sweep& sweep, const std::string& directory)
    : sweep_(sweep),
      directory_(directory),
      store_(directory),
      hashes_(directory + "/content.json") {}

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
  Plan plan = make_plan(
      sweep_, [this](const std::string& path) { return hashes_(path); }, tuned_);
  hashes_.refuse_changes(store_.meta("content").value_or("{}"));
  std::vector<PlannedTrial> stored;
  std::vector<std::string> stopped;
  for (const StoredTrial& trial : store_.trials()) {
    stored.push_back(trial_from_text(trial.text));
    if (trial.stopped) {
      stopped.push_back(trial.id);
    }
  }
  keep_trials(stored, sweep_, directory_, plan);
  plan_ = std::move(plan);
  stopped_ = std::move(stopped);
}

void CampaignBook::load(Reactor& reactor, double now) {
  std::map<std::string, StoredStage> stages;
  for (StoredStage& stage : store_.stages()) {
    stages.emplace(stage.key, std::move(stage));
  }
  crash_point("coordinator.before_plan");
  put_plan(reactor, stages);
  crash_point("coordinator.after_plan");
  std::map<std::string, std::string> first_trial;
  for (const PlannedTrial& trial : plan_.trials) {
    for (const std::string& key : trial.stages) {
      first_trial.emplace(key, trial.id);
    }
  }
  for (const std::string& key : plan_.graph.order) {
    StageEntry entry;
    entry.stored = stages.at(key);
    entry.inputs = plan_.graph.inputs.at(key);
    entry.trial = first_trial[key];
    reactor.add_stage(std::move(entry), now);
  }
}

// Settles and stores what is new or changed, in one transaction. `stages` are those of the store,
// then those of the plan too.
void CampaignBook::put_plan(const Reactor& reactor, std::map<std::string, StoredStage>& stages) {
  std::set<std::string> needed;  // by a trial that is not stopped
  for (const PlannedTrial& trial : plan_.trials) {
    if (!is_stopped(trial.id)) {
      needed.insert(trial.stages.begin(), trial.stages.end());
    }
  }
  store_.begin();
  for (const std::string& key : plan_.graph.order) {
    auto [it, is_new] = stages.try_emplace(key);
    StoredStage& stage = it->second;
    const StageState before = stage.state;
    if (is_new) {
      stage.key = key;
      stage.label = plan_.graph.stages.at(key).label();
      stage.spec = canonical_text(plan_.graph.stages.at(key));
    }
    if (!reactor.stages().contains(key)) {  // what it has it knows better
      settle(stage, needed.contains(key));
    }
    if (is_new || stage.state != before) {
      store_.put_stage(stage);
    }
  }
  for (const PlannedTrial& trial : plan_.trials) {
    store_.put_trial({trial.id, trial_text(trial), is_stopped(trial.id)});
  }
  store_.set_meta("stages_unshared", std::to_string(plan_.stages_unshared));
  store_.set_meta("content", hashes_.used_text());  // a tuning decision may bring in files
  store_.commit();
}

// A stage that is published although its transaction never came takes its result: the artifact is
// the proof. What only stopped trials need is stopped, and goes on when another trial needs it.
void CampaignBook::settle(StoredStage& stage, bool is_needed) const {
  const bool is_open = stage.state == StageState::kPending || stage.state == StageState::kRunning ||
                       stage.state == StageState::kStopped;
  if (is_open && adopt_artifact(directory_, stage)) {
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
      tuning_decisions(sweep_.tune(), plan_.trials, reactor.stages(), tuned_);
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

void CampaignBook::put_stage(const StoredStage& stage) {
  store_.begin();
  store_.put_stage(stage);
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
             ? undecidable_groups(sweep_.tune(), plan_.trials, reactor.stages(), tuned_)
             : std::set<std::string>();
}

bool CampaignBook::all_resolved(const Reactor& reactor) const {
  const std::set<std::string> lost = lost_groups(reactor);
  return std::all_of(plan_.trials.begin(), plan_.trials.end(), [&](const PlannedTrial& trial) {
    return trial.resolved || lost.contains(trial.tune_group);
  });
}

bool CampaignBook::any_failed(const Reactor& reactor) const {
  const std::set<std::string> lost = lost_groups(reactor);
  return std::any_of(plan_.trials.begin(), plan_.trials.end(), [&](const PlannedTrial& trial) {
    return planned_state(trial, is_stopped(trial.id), reactor.stages(), lost) == "failed";
  });
}

}  // namespace finescale
