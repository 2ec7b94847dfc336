// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "configs/parse.h"
#include "configs/rules.h"

namespace finescale {

namespace {

std::string numbered(const char* prefix, std::size_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%s%04zu", prefix, number);
  return text;
}

// "train.method={lora: {}} seed=1": names a tuning group.
std::string group_name(const Point& point, const config::Tune& tune) {
  std::string name;
  for (const std::string& path : tune.per()) {
    name += (name.empty() ? "" : " ") + path + "=" + point.at(path);
  }
  return name.empty() ? "all" : name;
}

config::Sweep without_axes(config::Sweep sweep) {
  sweep.clear_axes();
  return sweep;
}

// The budgets to which a search may promote later.
LaterBudgets later_budgets(const config::Sweep& sweep, const AxisGrid& grid) {
  LaterBudgets later;
  if (const config::Rungs* rungs = rungs_of(sweep.search()); rungs != nullptr) {
    later.stage = rungs->budget().substr(0, rungs->budget().find('.'));
    for (const auto& [path, values] : grid.axes()) {
      for (const std::string& value :
           path == rungs->budget() ? values : std::vector<std::string>()) {
        later.budgets.insert(std::atoll(value.c_str()));
      }
    }
  }
  return later;
}

}  // namespace

Planner::Planner(const config::Sweep& sweep, const ContentHash& hash)
    : sweep_(sweep), hash_(hash), grid_(sweep), sharing_(later_budgets(sweep, grid_)) {}

Planner::Planner(const Planner& other, const config::Sweep& sweep, const ContentHash& hash)
    : sweep_(sweep),
      hash_(hash),
      grid_(other.grid_),
      sharing_(other.sharing_),
      whole_(other.whole_),
      checked_(other.checked_),
      num_numbered_(other.num_numbered_),
      plan_(other.plan_) {
  for (const auto& [values, form] : other.forms_) {
    forms_.emplace(values, std::make_unique<TrialForm>(*form, plan_.graph.stages));
  }
}

PointSetter& Planner::setter() {
  if (!setter_) {
    setter_.emplace(without_axes(sweep_));
  }
  return *setter_;
}

void Planner::add(const std::vector<std::uint64_t>& points, const TunedValues& tuned) {
  const std::size_t first = plan_.graph.order.size();
  if (sweep_.has_tune()) {
    add_tuning(points);
  }
  for (const std::uint64_t index : points) {
    PlannedTrial trial;
    trial.id = numbered("t", ++num_numbered_);
    trial.axes = grid_.point(index);
    if (sweep_.has_tune()) {
      trial.tune_group = group_name(trial.axes, sweep_.tune());
      const auto found = tuned.find(trial.tune_group);
      trial.resolved = found != tuned.end();
      if (trial.resolved) {
        trial.tuned = found->second;
      }
    }
    add_trial(std::move(trial));
  }
  if (sweep_.resources().share_trunks()) {
    sharing_.share(plan_.graph, first, whole_);
    plan_.sharing = sharing_.notes();
  }
}

// Values of the axes while a group is tuned: its own of `per`, else `at`, else the first.
Point Planner::tuning_point(const Point& member) const {
  const config::Tune& tune = sweep_.tune();
  Point point;
  for (const auto& [path, values] : grid_.axes()) {
    const bool is_in_group =
        std::find(tune.per().begin(), tune.per().end(), path) != tune.per().end();
    point[path] = is_in_group ? member.at(path) : values.front();
  }
  for (const config::FieldValues& value : tune.at()) {
    config::Axis axis;
    axis.set_path(value.path());
    axis.add_values(value.value());
    point[value.path()] = axis_values(sweep_, axis).front();
  }
  return point;
}

// The same with each seed with which a value is tried.
std::vector<Point> Planner::tuning_seeds(const Point& at) const {
  std::vector<Point> points(static_cast<std::size_t>(sweep_.tune().seeds()), at);
  for (const auto& [path, values] : grid_.axes()) {
    for (std::size_t i = 0; path == "seed" && points.size() > 1 && i < points.size(); ++i) {
      points[i][path] = values[i];
    }
  }
  return points;
}

void Planner::add_tuning(const std::vector<std::uint64_t>& points) {
  std::set<std::string> seen;
  std::size_t number = 0;
  for (const std::uint64_t index : points) {
    const Point member = grid_.point(index);
    const std::string group = group_name(member, sweep_.tune());
    if (!seen.insert(group).second) {
      continue;
    }
    const Point at = tuning_point(member);
    for (const auto& values : tuning_points(setter().at(at, "tuning group " + group))) {
      for (Point& point : tuning_seeds(at)) {
        PlannedTrial trial;
        trial.id = numbered("tune-", ++number);
        trial.is_tuning = true;
        trial.tune_group = group;
        trial.axes = std::move(point);
        trial.tuned = values;
        add_trial(std::move(trial));
      }
    }
  }
}

// Rules about combinations of values, once for trials that differ in budget and seed alone: no rule
// that needs no file looks at those.
void Planner::check_once(const PlannedTrial& trial, const config::Sweep& resolved) {
  std::string combination = common_values(trial.axes, trial.tuned);
  for (const auto& [path, value] : sweep_.derived_size() > 0 ? trial.axes : Point()) {
    combination.append(path).append("=").append(value).append("\n");  // derived fields follow all
  }
  if (checked_.insert(std::move(combination)).second) {
    check_combination(resolved, "trial " + trial.id);
  }
}

// Its stages, inputs first. Trials that differ in budgets and seed alone have one form: the first
// of them is expanded, others prove for each value that the form holds, the rest is filled in.
std::vector<StagePlace> Planner::expand(PlannedTrial& trial) {
  std::unique_ptr<TrialForm>& form = forms_[common_values(trial.axes, trial.tuned)];
  SpecTable& table = plan_.graph.stages;
  // Derived fields follow budgets and seeds in ways that no form knows.
  const std::optional<VariedValues> values =
      sweep_.derived_size() > 0 ? std::nullopt : varied_values(trial.axes);
  if (form != nullptr && values && form->is_proven_for(*values)) {
    trial.names = form->names();
    return form->fill(*values, table);
  }
  Point all = trial.axes;
  all.insert(trial.tuned.begin(), trial.tuned.end());
  const config::Sweep resolved = setter().at(all, "trial " + trial.id);
  check_once(trial, resolved);
  TrialStages stages = expand_trial(resolved, hash_);
  std::vector<StagePlace> places;
  for (const config::StageSpec& spec : stages.stages) {
    places.push_back(table.put(spec).first);
  }
  if (values && form == nullptr) {
    form = std::make_unique<TrialForm>(stages, places, *values, table);
  } else if (values) {
    form->prove(*values, places, table);
  }
  trial.names = std::move(stages.names);
  return places;
}

// A trial's stages come inputs first, so the order of first appearance is topological.
void Planner::add_trial(PlannedTrial trial) {
  if (trial.resolved) {
    const std::size_t before = plan_.graph.stages.size();
    const std::vector<StagePlace> places = expand(trial);
    plan_.stages_unshared += static_cast<std::int64_t>(places.size());
    for (const StagePlace place : places) {
      trial.stages.push_back(plan_.graph.stages.key(place));
    }
    for (std::size_t place = before; place < plan_.graph.stages.size(); ++place) {
      plan_.graph.order.push_back(static_cast<StagePlace>(place));
    }
    if (trial.is_tuning) {
      whole_.insert(places.begin(), places.end());
    }
  }
  plan_.trials.push_back(std::move(trial));
}

std::vector<std::string> StageGraph::keys() const {
  std::vector<std::string> keys;
  for (const StagePlace place : order) {
    keys.push_back(stages.key(place));
  }
  return keys;
}

std::set<std::string> with_inputs(const std::vector<std::string>& stages, const StageGraph& graph) {
  std::set<std::string> keys;
  std::vector<std::string> open = stages;
  while (!open.empty()) {
    const std::string key = std::move(open.back());
    open.pop_back();
    if (keys.insert(key).second) {
      const std::vector<std::string> inputs = graph.stages.inputs(key);
      open.insert(open.end(), inputs.begin(), inputs.end());
    }
  }
  return keys;
}

std::vector<std::uint64_t> first_points(const config::Sweep& sweep, const AxisGrid& grid) {
  return make_search(sweep.search(), grid.space(sweep))->next({});
}

Plan make_plan(const config::Sweep& sweep, const ContentHash& hash, const TunedValues& tuned,
               const std::vector<std::uint64_t>& points) {
  Planner planner(sweep, hash);
  planner.add(points.empty() ? first_points(sweep, planner.grid()) : points, tuned);
  return std::move(planner.plan());
}

}  // namespace finescale
