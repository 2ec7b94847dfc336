// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "configs/parse.h"
#include "configs/rules.h"
#include "core/error.h"
#include "core/random.h"

namespace finescale {

namespace {

using Point = std::map<std::string, std::string>;  // axis path -> value

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

class Planner {
 public:
  Planner(const config::Sweep& sweep, const ContentHash& hash, const TunedValues& tuned)
      : sweep_(sweep), bare_(sweep), hash_(hash), tuned_(tuned) {
    bare_.clear_axes();  // copied for every trial
    for (const config::Axis& axis : sweep.axes()) {
      axes_.emplace_back(axis.path(), axis_values(sweep, axis));
      num_points_ *= axes_.back().second.size();
    }
  }

  Plan run() {
    const std::vector<std::uint64_t> points = chosen();
    if (sweep_.has_tune()) {
      add_tuning(points);
    }
    std::size_t number = 0;
    for (const std::uint64_t index : points) {
      PlannedTrial trial;
      trial.id = numbered("t", ++number);
      trial.axes = point_at(index);
      if (sweep_.has_tune()) {
        trial.tune_group = group_name(trial.axes, sweep_.tune());
        const auto found = tuned_.find(trial.tune_group);
        trial.resolved = found != tuned_.end();
        if (trial.resolved) {
          trial.tuned = found->second;
        }
      }
      add(std::move(trial));
    }
    return std::move(plan_);
  }

 private:
  // Point of the grid by its number: axes in file order, the last one fastest.
  [[nodiscard]] Point point_at(std::uint64_t index) const {
    Point point;
    for (auto axis = axes_.rbegin(); axis != axes_.rend(); ++axis) {
      point[axis->first] = axis->second[index % axis->second.size()];
      index /= axis->second.size();
    }
    return point;
  }

  [[nodiscard]] std::vector<std::uint64_t> chosen() const {
    std::vector<std::uint64_t> indices;
    switch (sweep_.search().kind_case()) {
      case config::Search::kRandom: {
        const config::RandomSearch& random = sweep_.search().random();
        const Permutation permutation(num_points_, static_cast<std::uint64_t>(random.seed()),
                                      Purpose::kSearch);
        const auto wanted = static_cast<std::uint64_t>(random.trials());
        for (std::uint64_t i = 0; i < std::min(num_points_, wanted); ++i) {
          indices.push_back(permutation[i]);
        }
        std::sort(indices.begin(), indices.end());
        break;
      }
      case config::Search::kGrid:
      case config::Search::KIND_NOT_SET:
        for (std::uint64_t i = 0; i < num_points_; ++i) {
          indices.push_back(i);
        }
        break;
    }
    return indices;
  }

  // Values of the axes while a group is tuned: its own of `per`, else `at`, else the first.
  [[nodiscard]] Point tuning_point(const Point& member) const {
    const config::Tune& tune = sweep_.tune();
    Point point;
    for (const auto& [path, values] : axes_) {
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

  void add_tuning(const std::vector<std::uint64_t>& points) {
    std::set<std::string> seen;
    std::size_t number = 0;
    for (const std::uint64_t index : points) {
      const Point member = point_at(index);
      const std::string group = group_name(member, sweep_.tune());
      if (!seen.insert(group).second) {
        continue;
      }
      const Point at = tuning_point(member);
      for (const std::string& value :
           tuning_values(apply_values(bare_, at, "tuning group " + group))) {
        PlannedTrial trial;
        trial.id = numbered("tune-", ++number);
        trial.is_tuning = true;
        trial.tune_group = group;
        trial.axes = at;
        trial.tuned[sweep_.tune().fields(0)] = value;
        add(std::move(trial));
      }
    }
  }

  // A trial's stages come inputs first, so the order of first appearance is topological.
  void add(PlannedTrial trial) {
    if (trial.resolved) {
      Point all = trial.axes;
      all.insert(trial.tuned.begin(), trial.tuned.end());
      const std::string where = "trial " + trial.id;
      const config::Sweep resolved = apply_values(bare_, all, where);
      check_combination(resolved, where);
      TrialStages stages = expand_trial(resolved, hash_);
      plan_.stages_unshared += static_cast<std::int64_t>(stages.stages.size());
      for (config::StageSpec& spec : stages.stages) {
        const std::string key = spec.key();
        trial.stages.push_back(key);
        if (!plan_.graph.stages.contains(key)) {
          plan_.graph.inputs[key] = {spec.inputs().begin(), spec.inputs().end()};
          plan_.graph.stages.emplace(key, std::move(spec));
          plan_.graph.order.push_back(key);
        }
      }
      trial.names = std::move(stages.names);
    }
    plan_.trials.push_back(std::move(trial));
  }

  const config::Sweep& sweep_;
  config::Sweep bare_;
  const ContentHash& hash_;
  const TunedValues& tuned_;
  std::vector<std::pair<std::string, std::vector<std::string>>> axes_;
  std::uint64_t num_points_ = 1;
  Plan plan_;
};

}  // namespace

Plan make_plan(const config::Sweep& sweep, const ContentHash& hash, const TunedValues& tuned) {
  return Planner(sweep, hash, tuned).run();
}

}  // namespace finescale
