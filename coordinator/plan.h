// SPDX-License-Identifier: Apache-2.0
// Sweep -> trials -> stage graph. Pure: content hashes come in as a function; tuned values come in
// when they are known.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "configs/point_setter.h"
#include "configs/schema/stage.pb.h"
#include "configs/schema/sweep.pb.h"
#include "configs/stages.h"
#include "coordinator/axis_grid.h"
#include "coordinator/spec_table.h"
#include "coordinator/trial_form.h"
#include "coordinator/trunk_sharing.h"

namespace finescale {

struct PlannedTrial {
  std::string id;  // t0001..., tune-0001...
  bool is_tuning = false;
  std::string tune_group;  // tuning trials: their group; others: the group whose winner they take
  std::map<std::string, std::string> axes;   // path -> canonical value
  std::map<std::string, std::string> tuned;  // path -> value (tuning trials: the value tried)
  bool resolved = true;  // false: waits for its group's tuning; stages are empty until then
  std::vector<std::string> stages;  // keys in order, last one is the trial's result
  std::vector<std::string> names;   // same length: stage names
};
struct StageGraph {
  SpecTable stages;                                     // merged by key
  std::vector<StagePlace> order;                        // of them: topological, stable
  [[nodiscard]] std::vector<std::string> keys() const;  // in this order
};
struct Plan {
  std::vector<PlannedTrial> trials;
  std::vector<SharingNote> sharing;
  StageGraph graph;
  std::int64_t stages_unshared = 0;
};

// These stages and all that they read.
[[nodiscard]] std::set<std::string> with_inputs(const std::vector<std::string>& stages,
                                                const StageGraph& graph);

// Winner of each tuning group: group -> (path -> value). Missing groups are not decided yet.
using TunedValues = std::map<std::string, std::map<std::string, std::string>>;

// Plans trials behind trials: a search may decide on more of them while the first ones run.
class Planner {
 public:
  // `sweep` and `hash` must outlive it.
  Planner(const config::Sweep& sweep, const ContentHash& hash);

  // What `other` has planned for an equal sweep: planning costs a coordinator more than copying.
  Planner(const Planner& other, const config::Sweep& sweep, const ContentHash& hash);

  // A trial for each of these points of the axes, and where the sweep tunes those that tune their
  // groups. Deterministic: the same points and tuned values give the same ids, keys and order.
  void add(const std::vector<std::uint64_t>& points, const TunedValues& tuned);

  [[nodiscard]] const AxisGrid& grid() const noexcept { return grid_; }
  [[nodiscard]] Plan& plan() noexcept { return plan_; }
  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }

 private:
  [[nodiscard]] Point tuning_point(const Point& member) const;
  [[nodiscard]] std::vector<Point> tuning_seeds(const Point& at) const;
  void add_tuning(const std::vector<std::uint64_t>& points);
  void add_trial(PlannedTrial trial);

  [[nodiscard]] PointSetter& setter();
  void check_once(const PlannedTrial& trial, const config::Sweep& resolved);
  [[nodiscard]] std::vector<StagePlace> expand(PlannedTrial& trial);

  const config::Sweep& sweep_;
  std::optional<PointSetter> setter_;  // without axes: copied for every trial that is expanded
  const ContentHash& hash_;
  AxisGrid grid_;
  TrunkSharing sharing_;
  std::set<StagePlace> whole_;  // stages of tuning trials: they share no trunk
  std::map<std::string, std::unique_ptr<TrialForm>> forms_;  // by what trials have in common
  std::set<std::string> checked_;  // combinations of values that rules look at
  std::size_t num_numbered_ = 0;
  Plan plan_;
};

// What the search decides without any result: all of it, or how it begins.
[[nodiscard]] std::vector<std::uint64_t> first_points(const config::Sweep& sweep,
                                                      const AxisGrid& grid);
// A plan of these points; of what the search decides without results where none are given.
[[nodiscard]] Plan make_plan(const config::Sweep& sweep, const ContentHash& hash,
                             const TunedValues& tuned,
                             const std::vector<std::uint64_t>& points = {});

}  // namespace finescale
