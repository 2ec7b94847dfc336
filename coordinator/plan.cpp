// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "configs/parse.h"
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

config::Sweep resolved(const config::Sweep& sweep, const Point& point) {
  config::Sweep copy = sweep;
  // A method must be set in front of the fields that may belong to it.
  std::vector<std::pair<std::string, std::string>> ordered(point.begin(), point.end());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return std::count(a.first.begin(), a.first.end(), '.') <
           std::count(b.first.begin(), b.first.end(), '.');
  });
  for (const auto& [path, value] : ordered) {
    set_field(copy, path, value, "axes." + path);
  }
  return copy;
}

class Planner {
 public:
  Planner(const config::Sweep& sweep, const ContentHash& hash, const TunedValues& tuned)
      : sweep_(sweep), hash_(hash), tuned_(tuned) {
    for (const config::Axis& axis : sweep.axes()) {
      axes_.emplace_back(axis.path(), axis_values(sweep, axis));
    }
  }

  Plan run() {
    const std::vector<Point> points = chosen(grid());
    if (sweep_.has_tune()) {
      add_tuning(points);
    }
    std::size_t number = 0;
    for (const Point& point : points) {
      PlannedTrial trial;
      trial.id = numbered("t", ++number);
      trial.axes = point;
      if (sweep_.has_tune()) {
        trial.tune_group = group_name(point, sweep_.tune());
        const auto found = tuned_.find(trial.tune_group);
        trial.resolved = found != tuned_.end();
        if (trial.resolved) {
          trial.tuned = found->second;
        }
      }
      add(std::move(trial));
    }
    order();
    return std::move(plan_);
  }

 private:
  // Every combination in file order, the last axis fastest.
  std::vector<Point> grid() const {
    std::vector<Point> points = {{}};
    for (const auto& [path, values] : axes_) {
      std::vector<Point> next;
      for (const Point& point : points) {
        for (const std::string& value : values) {
          next.push_back(point);
          next.back()[path] = value;
        }
      }
      points = std::move(next);
    }
    return points;
  }

  std::vector<Point> chosen(std::vector<Point> points) const {
    if (!sweep_.search().has_random()) {
      return points;
    }
    const config::RandomSearch& random = sweep_.search().random();
    const auto total = static_cast<std::uint64_t>(points.size());
    const Permutation permutation(total, static_cast<std::uint64_t>(random.seed()),
                                  Purpose::kSearch);
    std::vector<std::uint64_t> picked;
    for (std::uint64_t i = 0; i < std::min(total, static_cast<std::uint64_t>(random.trials()));
         ++i) {
      picked.push_back(permutation[i]);
    }
    std::sort(picked.begin(), picked.end());
    std::vector<Point> out;
    for (const std::uint64_t index : picked) {
      out.push_back(points[index]);
    }
    return out;
  }

  // The values that each group tries.
  std::vector<std::string> tried(const Point& point) const {
    const config::Tune& tune = sweep_.tune();
    config::Axis axis;
    axis.set_path(tune.fields(0));
    if (tune.has_geometric()) {
      *axis.mutable_geometric() = tune.geometric();
    } else {  // a factor 16 around what the file says
      const config::Sweep copy = resolved(sweep_, point);
      double middle = 0;
      for (const config::Stage& stage : copy.trial().stages()) {
        if (tune.fields(0) == stage.name() + ".learning_rate") {
          middle = stage.train().learning_rate();
        }
      }
      if (middle <= 0) {
        throw Error(ErrorKind::kConfig,
                    "tune: give geometric: {from, to, points} for " + tune.fields(0));
      }
      axis.mutable_geometric()->set_from(middle / 4);
      axis.mutable_geometric()->set_to(middle * 4);
      axis.mutable_geometric()->set_points(tune.trials());
    }
    return axis_values(sweep_, axis);
  }

  void add_tuning(const std::vector<Point>& points) {
    const config::Tune& tune = sweep_.tune();
    std::set<std::string> seen;
    std::size_t number = 0;
    for (const Point& point : points) {
      const std::string group = group_name(point, tune);
      if (!seen.insert(group).second) {
        continue;
      }
      Point at;
      for (const auto& [path, values] : axes_) {
        const bool in_group =
            std::find(tune.per().begin(), tune.per().end(), path) != tune.per().end();
        at[path] = in_group ? point.at(path) : values.front();
      }
      for (const config::FieldValues& value : tune.at()) {
        config::Axis axis;
        axis.set_path(value.path());
        axis.add_values(value.value());
        at[value.path()] = axis_values(sweep_, axis).front();
      }
      for (const std::string& value : tried(at)) {
        PlannedTrial trial;
        trial.id = numbered("tune-", ++number);
        trial.is_tuning = true;
        trial.tune_group = group;
        trial.axes = at;
        trial.tuned[tune.fields(0)] = value;
        add(std::move(trial));
      }
    }
  }

  void add(PlannedTrial trial) {
    if (trial.resolved) {
      Point all = trial.axes;
      all.insert(trial.tuned.begin(), trial.tuned.end());
      const TrialStages stages = expand_trial(resolved(sweep_, all), hash_);
      for (std::size_t i = 0; i < stages.stages.size(); ++i) {
        const config::StageSpec& spec = stages.stages[i];
        trial.stages.push_back(spec.key());
        trial.names.push_back(stages.names[i]);
        plan_.graph.inputs[spec.key()] = {spec.inputs().begin(), spec.inputs().end()};
        if (plan_.graph.stages.emplace(spec.key(), spec).second) {
          appearance_.push_back(spec.key());
        }
      }
      plan_.stages_unshared += static_cast<std::int64_t>(stages.stages.size());
    }
    plan_.trials.push_back(std::move(trial));
  }

  // A trial's stages come inputs first, so first appearance is a topological order.
  void order() { plan_.graph.order = appearance_; }

  const config::Sweep& sweep_;
  const ContentHash& hash_;
  const TunedValues& tuned_;
  std::vector<std::pair<std::string, std::vector<std::string>>> axes_;
  std::vector<std::string> appearance_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const config::Sweep& sweep, const ContentHash& hash, const TunedValues& tuned) {
  return Planner(sweep, hash, tuned).run();
}

}  // namespace finescale
