// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_rows.h"

#include <unordered_map>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

bool is_open(const StoredStage& stage) {
  return stage.state == StageState::kPending || stage.state == StageState::kRunning;
}

}  // namespace

StoredStages stored_stages(Store& store, const std::string& directory) {
  StoredStages stages;
  for (StoredStage& stage : store.stages()) {
    const std::string key = stage.key;
    if (!stages.emplace(key, std::move(stage)).second) {
      throw Error(ErrorKind::kCheckpoint, "the store has stage " + key + " twice", directory,
                  "put back a copy of store.sqlite");
    }
  }
  return stages;
}

std::vector<StoredStage> PlanRows::put_stages(const StageEntries& known,
                                              const std::vector<StagePlace>& places,
                                              StoredStages& stored) {
  const SpecTable& table = plan_.graph.stages;
  const bool all_needed = stopped_.empty();
  const std::set<std::string> needed = all_needed ? std::set<std::string>() : needed_stages();
  std::unordered_map<const PlannedForm*, std::int64_t> forms;
  std::vector<StoredStage> stages;
  stages.reserve(places.size());
  for (const StagePlace place : places) {
    const std::string& key = table.key(place);
    StoredStage& stage = stages.emplace_back();
    if (known.contains(key)) {
      continue;  // what the coordinator has it knows better
    }
    const PlannedForm& form = table.form(place);
    const auto number = forms.try_emplace(&form, 0);
    if (number.second) {
      number.first->second = store_.put_form(form.form.text());
    }
    if (auto row = stored.extract(key); !row.empty()) {
      stage = std::move(row.mapped());
    }
    stage.key = key;
    put_stage(place, number.first->second, all_needed || needed.contains(key), stage);
  }
  return stages;
}

// The key says what a stage makes, not which trunk it starts from: another plan may choose another,
// so a stage that is not done takes the text of this one.
void PlanRows::put_stage(StagePlace place, std::int64_t form, bool is_needed, StoredStage& stage) {
  const StageState before = stage.state;
  settle(stage, is_needed);
  std::string fillings = plan_.graph.stages.fillings(place);
  const bool is_new = stage.row == 0;
  const bool differs =
      stage.state != StageState::kDone && (stage.form != form || stage.fillings != fillings);
  if (is_new || differs) {
    stage.label = plan_.graph.stages.form(place).form.example().label();
    stage.form = form;
    stage.fillings = std::move(fillings);
  }
  if (is_new || differs || stage.state != before) {
    store_.put_stage(stage);
  }
}

// A stage that is published although its transaction never came takes its result: the artifact is
// the proof. What only stopped trials need is stopped, and goes on when another trial needs it.
void PlanRows::settle(StoredStage& stage, bool is_needed) const {
  if ((is_open(stage) || stage.state == StageState::kStopped) && artifacts_.adopt(stage)) {
    return;
  }
  if (stage.state == StageState::kPending && !is_needed) {
    stage.state = StageState::kStopped;
  } else if (stage.state == StageState::kStopped && is_needed) {
    stage.state = StageState::kPending;
  }
}

// By a trial that is not stopped.
std::set<std::string> PlanRows::needed_stages() const {
  std::set<std::string> needed;
  const std::set<std::string> stopped(stopped_.begin(), stopped_.end());
  for (const PlannedTrial& trial : plan_.trials) {
    if (!stopped.contains(trial.id)) {
      needed.merge(with_inputs(trial.stages, plan_.graph));
    }
  }
  return needed;
}

void PlanRows::stop_unplanned(StoredStages& stored) {
  for (auto& [key, stage] : stored) {
    if (is_open(stage) && !plan_.graph.stages.contains(key)) {
      stage.state = StageState::kStopped;
      stage.gang = 0;
      store_.put_stage(stage);
    }
  }
}

}  // namespace finescale
