// SPDX-License-Identifier: Apache-2.0
#include "coordinator/campaign_book.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "configs/canonical.h"
#include "coordinator/kept_trials.h"
#include "coordinator/status.h"
#include "coordinator/sweep_changes.h"
#include "coordinator/trial_text.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

constexpr const char* kLastGang = "last_gang";

bool is_file_with(const std::string& path, const std::string& text) {
  return std::filesystem::exists(path) && read_file(path) == text;
}

}  // namespace

CampaignBook::CampaignBook(const config::Sweep& sweep, const std::string& directory,
                           Artifacts& artifacts, BookOptions options)
    : sweep_(sweep),
      directory_(directory),
      artifacts_(artifacts),
      store_(directory, options.durable, options.file_system),
      hashes_(directory + "/content.json"),
      hash_(options.hash ? std::move(options.hash)
                         : [this](const std::string& path) { return hashes_(path); }),
      plans_(options.plans) {}

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
  if (search_->is_adaptive() && store_.decisions().empty()) {
    for (const Observation& one : decided_) {
      store_.add_decision({one.point, "start"});
    }
  }
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
  tuned_ = store_.tuned();
  search_ = make_search(sweep_.search(),
                        plans_ != nullptr ? plans_->space(sweep_) : AxisGrid(sweep_).space(sweep_));
  const std::vector<std::uint64_t> points = journalled();
  if (plans_ != nullptr) {
    planner_.reset();
    cached_ = &plans_->planner(sweep_, hash_, points, tuned_);
  } else {
    planner_ = std::make_unique<Planner>(sweep_, hash_);
    planner_->add(points, tuned_);
  }
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

CampaignBook::StoredStages CampaignBook::stored_stages() {
  StoredStages stages;
  for (StoredStage& stage : store_.stages()) {
    const std::string key = stage.key;
    if (!stages.emplace(key, std::move(stage)).second) {
      throw Error(ErrorKind::kCheckpoint, "the store has stage " + key + " twice", directory_,
                  "put back a copy of store.sqlite");
    }
  }
  return stages;
}

void CampaignBook::load(Reactor& reactor, double now) {
  crash_point("coordinator.before_plan");
  StoredStages stored = loaded_stages_ == 0 ? stored_stages() : StoredStages();
  const std::vector<StagePlace> places = stages_to_load(stored);
  std::vector<StoredStage> stages = put_plan(reactor, places, std::move(stored));
  crash_point("coordinator.after_plan");
  const std::vector<std::size_t> first_trial = first_trials();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::size_t trial = first_trial[static_cast<std::size_t>(places[i])];
    add_entry(reactor, places[i], std::move(stages[i]),
              trial < plan().trials.size() ? plan().trials[trial].id : "", now);
  }
  const StageGraph& graph = plan().graph;
  loaded_stages_ = graph.order.size();
  loaded_trials_ = plan().trials.size();
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
  std::vector<StagePlace> wanted;
  for (const StagePlace input : plan().graph.stages.inputs(plan().graph.stages.place(key))) {
    if (left_out_.erase(input) > 0) {
      want(input, wanted);
    }
  }
  if (wanted.empty()) {
    return;
  }
  std::vector<StoredStage> stages = put_plan(reactor, wanted, {});
  const std::string trial = reactor.stages().at(key).trial;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    add_entry(reactor, wanted[i], std::move(stages[i]), trial, now);
  }
}

// What is new in the plan, and trunks that were left out and are needed now. Inputs first.
std::vector<StagePlace> CampaignBook::stages_to_load(const StoredStages& stored) {
  const StageGraph& graph = plan().graph;
  if (loaded_stages_ == 0) {
    left_out_.clear();
    const std::vector<bool> unwanted = unwanted_trunks(stored);
    for (const StagePlace place : graph.order) {
      if (unwanted[static_cast<std::size_t>(place)]) {
        left_out_.insert(place);
      }
    }
  }
  std::vector<StagePlace> wanted;
  for (std::size_t i = loaded_stages_; i < graph.order.size(); ++i) {
    if (loaded_stages_ > 0 || !left_out_.contains(graph.order[i])) {
      want(graph.order[i], wanted);
    }
  }
  return wanted;
}

void CampaignBook::want(StagePlace stage, std::vector<StagePlace>& wanted) {
  if (loaded_stages_ > 0) {  // a first plan leaves them out for good: who starts from them is done
    for (const StagePlace input : plan().graph.stages.inputs(stage)) {
      if (left_out_.erase(input) > 0) {
        want(input, wanted);
      }
    }
  }
  wanted.push_back(stage);
}

// Of each new stage the trial that names it, or for a trunk one that starts from it. By place.
std::vector<std::size_t> CampaignBook::first_trials() const {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  const StageGraph& graph = plan().graph;
  std::vector<std::size_t> first(graph.stages.size(), kNone);
  for (std::size_t i = plan().trials.size(); i-- > loaded_trials_;) {
    for (const std::string& key : plan().trials[i].stages) {
      first[static_cast<std::size_t>(graph.stages.place(key))] = i;
    }
  }
  for (std::size_t i = graph.order.size(); i-- > loaded_stages_;) {
    const std::size_t trial = first[static_cast<std::size_t>(graph.order[i])];
    for (const StagePlace input : graph.stages.inputs(graph.order[i])) {
      std::size_t& known = first[static_cast<std::size_t>(input)];
      known = known == kNone ? trial : known;
    }
  }
  return first;
}

// Trunks that a plan of all trials at once would have, but that no stage still to be run reads:
// trials that were planned one after another have run without them. By place.
std::vector<bool> CampaignBook::unwanted_trunks(const StoredStages& stored) const {
  const StageGraph& graph = plan().graph;
  std::vector<bool> unwanted(graph.stages.size(), false);
  if (stored.empty()) {
    return unwanted;
  }
  std::vector<bool> read(graph.stages.size(), false);
  for (auto place = graph.order.rbegin(); place != graph.order.rend(); ++place) {  // readers first
    const auto at = static_cast<std::size_t>(*place);
    const auto known = stored.find(graph.stages.key(*place));
    const bool is_trunk = graph.stages.form(*place).form.example().train().trunk();
    if (known == stored.end() && !read[at] && is_trunk) {
      unwanted[at] = true;
    } else if (known == stored.end() || known->second.state != StageState::kDone) {
      for (const StagePlace input : graph.stages.inputs(*place)) {
        read[static_cast<std::size_t>(input)] = true;
      }
    }
  }
  return unwanted;
}

// Settles and stores what is new or changed, in one transaction.
std::vector<StoredStage> CampaignBook::put_plan(const Reactor& reactor,
                                                const std::vector<StagePlace>& places,
                                                StoredStages stored) {
  store_.begin();
  std::vector<StoredStage> stages = put_stages(reactor, places, stored);
  stop_unplanned(stored);
  for (std::size_t i = loaded_trials_; i < plan().trials.size(); ++i) {
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

// By a trial that is not stopped.
std::set<std::string> CampaignBook::needed_stages() const {
  std::set<std::string> needed;
  for (const PlannedTrial& trial : plan().trials) {
    if (!is_stopped(trial.id)) {
      needed.merge(with_inputs(trial.stages, plan().graph));
    }
  }
  return needed;
}

// The key says what a stage makes, not which trunk it starts from: another plan may choose another,
// so a stage that is not done takes the text of this one.
std::vector<StoredStage> CampaignBook::put_stages(const Reactor& reactor,
                                                  const std::vector<StagePlace>& places,
                                                  StoredStages& stored) {
  const SpecTable& table = plan().graph.stages;
  const bool all_needed = stopped_.empty();
  const std::set<std::string> needed = all_needed ? std::set<std::string>() : needed_stages();
  std::unordered_map<const PlannedForm*, std::int64_t> forms;
  std::vector<StoredStage> stages;
  stages.reserve(places.size());
  for (const StagePlace place : places) {
    const std::string& key = table.key(place);
    StoredStage& stage = stages.emplace_back();
    if (reactor.stages().contains(key)) {
      continue;  // what the reactor has it knows better
    }
    const PlannedForm& form = table.form(place);
    const auto number = forms.try_emplace(&form, 0);
    if (number.second) {
      number.first->second = store_.put_form(form.form.text());
    }
    if (auto known = stored.extract(key); !known.empty()) {
      stage = std::move(known.mapped());
    }
    const StageState before = stage.state;
    stage.key = key;
    settle(stage, all_needed || needed.contains(key));
    std::string fillings = table.fillings(place);
    const bool is_new = stage.row == 0;
    const bool differs = stage.state != StageState::kDone &&
                         (stage.form != number.first->second || stage.fillings != fillings);
    if (is_new || differs) {
      stage.label = form.form.example().label();
      stage.form = number.first->second;
      stage.fillings = std::move(fillings);
    }
    if (is_new || differs || stage.state != before) {
      store_.put_stage(stage);
    }
  }
  return stages;
}

// Trunks of an earlier plan that nothing starts from now.
void CampaignBook::stop_unplanned(StoredStages& stored) {
  for (auto& [key, stage] : stored) {
    const bool is_open = stage.state == StageState::kPending || stage.state == StageState::kRunning;
    if (is_open && !plan().graph.stages.contains(key)) {
      stage.state = StageState::kStopped;
      stage.gang = 0;
      store_.put_stage(stage);
    }
  }
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
  own_planner().add(points, tuned_);
  return points.size();
}

bool CampaignBook::flush(std::string& why) {
  if (is_flushed()) {
    return true;
  }
  try {
    store_.begin();
    for (const auto& [row, stage] : group_.stages) {
      store_.update_stage(*stage);
    }
    for (const auto& [id, process] : group_.gangs) {
      if (process == kNoProcess) {
        store_.remove_gang(id);
      } else {
        store_.put_gang({id, process, ""});
        store_.set_meta(kLastGang, std::to_string(std::max(id, last_gang())));
      }
    }
    store_.commit();
  } catch (const Error& error) {
    store_.rollback();
    if (error.kind() != ErrorKind::kResource && error.kind() != ErrorKind::kIo) {
      throw;
    }
    why = error.what();
    return false;
  }
  group_ = {};
  return true;
}

std::int64_t CampaignBook::last_gang() {
  return std::stoll(store_.meta(kLastGang).value_or("0"));
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
