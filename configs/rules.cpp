// SPDX-License-Identifier: Apache-2.0
// Rules of a whole sweep: axes, search, tuning, laws, resources. Those of a trial: trial_rules.
#include "configs/rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "configs/contrast_rules.h"
#include "configs/data_stage_rules.h"
#include "configs/field_path.h"
#include "configs/mesh_plan.h"
#include "configs/nearest_name.h"
#include "configs/parse.h"
#include "configs/slurm_rules.h"
#include "configs/trial_rules.h"
#include "configs/trunks.h"
#include "core/error.h"

namespace finescale {

namespace {

// More points than this are a slip of the pen, not a sweep.
constexpr std::int64_t kMaxGrid = 10'000'000;

const std::vector<std::string> kForms = {
    "power",           "power_offset",     "rectified", "additive",    "multiplicative",
    "joint_rectified", "data_constrained", "constant",  "exponential", "logarithmic"};

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class SweepRules : TrialRules {
 public:
  SweepRules(const config::Sweep& sweep, std::string file, const Positions& positions,
             NamedFiles files)
      : TrialRules(sweep, std::move(file), positions), written_(sweep), files_(files) {}

  void check() const {
    check_name();
    check_structure();
    check_base();
    check_data();
    check_axis_values();
    check_let();
    check_first_trial();
    check_axis_points();
    check_search();
    check_tune();
    check_laws();
    check_contrasts(
        sweep_,
        [this](const config::Axis& axis) -> const std::vector<std::string>& {
          return values_of(axis);
        },
        [this](const std::string& metric, const std::string& path) { check_metric(metric, path); },
        *this);
    check_resources();
  }

 private:
  void check_name() const { require_word(sweep_.name(), "name"); }

  void check_axis_values() const {
    for (const config::Axis& axis : sweep_.axes()) {
      const std::string path = "axes." + axis.path();
      const int given = static_cast<int>(axis.values_size() > 0) +
                        static_cast<int>(axis.has_geometric()) +
                        static_cast<int>(axis.has_linear());
      require(given == 1, path,
              path + " must be a list of values, {geometric: ...} or {linear: ...}");
      std::set<std::string> seen;
      const std::vector<std::string>& values = values_of(axis);
      for (std::size_t i = 0; i < values.size(); ++i) {
        require(seen.insert(values[i]).second, value_path(axis, i),
                path + " has the value " + values[i] + " twice");
      }
    }
  }

  void check_let() const {
    for (const config::LetValue& value : sweep_.let()) {
      require_word(value.name(), "let." + value.name());
    }
    for (const config::Axis& axis : sweep_.axes()) {
      config::Sweep copy = written_;
      const std::string varied = scalar_or_message_field(copy, axis.path(), "").full_path;
      for (const config::FieldValues& derived : sweep_.derived()) {
        require(derived.path() != varied, "axes." + axis.path(),
                "axes." + axis.path() + ": the field is written as $(" + derived.value() +
                    "), which an axis cannot vary",
                "vary a name of let");
      }
    }
  }

  static std::string value_path(const config::Axis& axis, std::size_t index) {
    return "axes." + axis.path() +
           (axis.values_size() > 0 ? "[" + std::to_string(index) + "]" : std::string());
  }

  // A field that an axis varies need not be valid in the file itself: it is checked as the first
  // trial sees it.
  void check_first_trial() const {
    try {
      const config::Sweep trial = apply_values(written_, first_point(), file());
      const TrialRules rules(trial, file(), positions());
      rules.check_trial();
      if (files_ == NamedFiles::kChecked) {
        rules.check_files(counts_, "");
      }
    } catch (const Error& error) {
      for (const config::Axis& axis : sweep_.axes()) {
        if (error.where() == file() && error.message().starts_with(axis.path())) {
          fail("axes." + axis.path(), error.message(), error.hint());
        }
      }
      if (error.where() == file() && sweep_.derived_size() > 0) {  // of a field by its full path
        fail(error.message().substr(0, error.message().find_first_of(": ")), error.message(),
             error.hint());
      }
      throw;
    }
  }

  // Every value is tried with the other axes at their first.
  void check_axis_points() const {
    for (const config::Axis& axis : sweep_.axes()) {
      const std::vector<std::string>& values = values_of(axis);
      for (std::size_t i = 0; i < values.size(); ++i) {
        std::map<std::string, std::string> point = first_point();
        point[axis.path()] = values[i];
        check_point(point, axis.path(), value_path(axis, i));
      }
    }
  }

  std::map<std::string, std::string> first_point() const {
    std::map<std::string, std::string> point;
    for (const config::Axis& axis : sweep_.axes()) {
      point[axis.path()] = values_of(axis).front();
    }
    return point;
  }

  // Computed once: every rule about axes asks for them.
  const std::vector<std::string>& values_of(const config::Axis& axis) const {
    const auto [found, is_new] = values_.emplace(axis.path(), std::vector<std::string>());
    if (is_new) {
      try {
        found->second = axis_values(written_, axis);
      } catch (const Error& error) {
        fail("axes." + axis.path(), error.message(), error.hint());
      }
    }
    return found->second;
  }

  void check_point(const std::map<std::string, std::string>& point, const std::string& varied,
                   const std::string& path) const {
    try {
      const config::Sweep trial = apply_values(written_, point, "");
      const Positions none;
      const TrialRules rules(trial, "", none);
      rules.check_trial();
      if (files_ == NamedFiles::kChecked) {
        rules.check_files(counts_, varied);
      }
    } catch (const Error& error) {
      fail(path, error.message(), error.hint());
    }
  }

  void check_search() const {
    double points = 1;
    for (const config::Axis& axis : sweep_.axes()) {
      points *= static_cast<double>(values_of(axis).size());
    }
    if (sweep_.search().has_random()) {
      const auto trials = static_cast<double>(sweep_.search().random().trials());
      require(trials <= points, "search.random.trials",
              "search.random.trials is " + std::to_string(static_cast<std::int64_t>(trials)) +
                  ", but the axes have " + std::to_string(static_cast<std::int64_t>(points)) +
                  " points");
      points = trials;
    }
    if (sweep_.search().has_halving()) {
      check_rungs(sweep_.search().halving(), "search.halving");
    } else if (sweep_.search().has_asha()) {
      check_rungs(sweep_.search().asha(), "search.asha");
    } else if (sweep_.search().has_tpe()) {
      check_metric(sweep_.search().tpe().metric(), "search.tpe.metric");
      check_not_tuned("search.tpe");
      points = static_cast<double>(sweep_.search().tpe().trials());
    }
    require(points <= kMaxGrid, "axes",
            "the axes have more than " + std::to_string(kMaxGrid) + " points",
            "search: {random: {trials: N}} draws some of them");
  }

  void check_not_tuned(const std::string& path) const {
    require(!sweep_.has_tune(), "tune", "tune excludes " + path + ": both decide by results",
            "make the tuned field an axis, or search: grid");
  }

  // A promoted configuration goes on from the trunk of its smaller budget: there must be one.
  void check_rungs(const config::Rungs& rungs, const std::string& path) const {
    const config::Axis* budgets = nullptr;
    std::vector<std::string> paths;
    for (const config::Axis& axis : sweep_.axes()) {
      paths.push_back(axis.path());
      budgets = axis.path() == rungs.budget() ? &axis : budgets;
    }
    require(budgets != nullptr && rungs.budget().ends_with(".data_budget"), path + ".budget",
            path + " needs an axis of data budgets" +
                (rungs.has_budget() ? ", and " + rungs.budget() + " is none" : ""),
            "for example axes: {train.data_budget: [100, 300, 900]}");
    require(values_of(*budgets).size() > 1, "axes." + budgets->path(),
            path + " needs two budgets or more");
    for (const std::string& name : rungs.per()) {
      std::string fault = path;
      fault.append(".per: ").append(name).append(" is no axis beside the budgets");
      require(has(paths, name) && name != rungs.budget(), path + ".per",
              fault.append(did_you_mean(name, paths)));
    }
    check_metric(rungs.metric(), path + ".metric");
    check_not_tuned(path);
    require(sweep_.resources().share_trunks(), "resources.share_trunks",
            path + " goes on from trunks, and resources.share_trunks is false");
    for (const config::Axis& axis : sweep_.axes()) {
      for (const std::string& value : values_of(axis)) {
        std::map<std::string, std::string> point = first_point();
        point[axis.path()] = value;
        check_has_trunk(apply_values(written_, point, ""), rungs, path);
      }
    }
  }

  void check_has_trunk(const config::Sweep& trial, const config::Rungs& rungs,
                       const std::string& path) const {
    for (const config::Stage& stage : trial.trial().stages()) {
      if (rungs.budget() == stage.name() + ".data_budget") {
        const std::string why = why_no_trunk(stage.train());
        std::string fault = path;
        fault.append(" goes on from the trunk of a smaller budget, and ").append(stage.name());
        require(why.empty(), path, fault.append(" leaves none: ").append(why));
      }
    }
  }

  void check_metric(const std::string& metric, const std::string& path) const {
    std::set<std::string> measured;  // by any stage
    for (const config::Stage& stage : sweep_.trial().stages()) {
      measured.insert(stage.evaluate().metrics().begin(), stage.evaluate().metrics().end());
    }
    std::vector<std::string> valid;
    for (const std::string& set : measured_sets()) {
      for (const std::string& name : measured) {
        valid.emplace_back(set).append(".").append(name);
      }
    }
    for (const config::Stage& stage : sweep_.trial().stages()) {
      for (const std::string& name : stage_metrics(stage)) {
        valid.push_back(stage.name() + "." + name);
      }
    }
    require(has(valid, metric), path,
            path + " is \"" + metric + "\", which no stage measures" + did_you_mean(metric, valid),
            valid.empty() ? "add an evaluate stage" : "measured: " + joined(valid));
  }

  // Eval sets, and with tags those of a tag together.
  std::vector<std::string> measured_sets() const {
    std::vector<std::string> sets;
    std::set<std::string> suites;
    for (const config::EvalSet& set : sweep_.data().eval()) {
      sets.push_back(set.name());
      for (const std::string& tag : set.tags()) {
        suites.insert({tag + kSuiteEnding, std::string("all") + kSuiteEnding});
      }
    }
    sets.insert(sets.end(), suites.begin(), suites.end());
    return sets;
  }

  void check_tune_seeds(const config::Tune& tune) const {
    if (tune.seeds() == 1) {
      return;
    }
    const auto fixes_seed = [](const config::FieldValues& value) { return value.path() == "seed"; };
    require(std::count(tune.per().begin(), tune.per().end(), "seed") == 0 &&
                std::none_of(tune.at().begin(), tune.at().end(), fixes_seed),
            "tune.seeds", "tune.seeds: tune says the seed already", "leave seed out of per and at");
    std::size_t seeds = 0;
    for (const config::Axis& axis : sweep_.axes()) {
      seeds = axis.path() == "seed" ? axis_values(sweep_, axis).size() : seeds;
    }
    require(static_cast<std::size_t>(tune.seeds()) <= seeds, "tune.seeds",
            "tune.seeds is " + std::to_string(tune.seeds()) + ", but the axis seed has " +
                std::to_string(seeds) + " values");
  }

  void check_tune() const {
    if (!sweep_.has_tune()) {
      return;
    }
    const config::Tune& tune = sweep_.tune();
    std::vector<std::string> axes;
    for (const config::Axis& axis : sweep_.axes()) {
      axes.push_back(axis.path());
    }
    std::map<std::string, std::string> point = first_point();
    const std::vector<std::string> fields(tune.fields().begin(), tune.fields().end());
    for (const std::string& field : fields) {
      require(!has(axes, field), "tune.fields", "tune.fields: " + field + " is an axis already");
      require(std::count(fields.begin(), fields.end(), field) == 1, "tune.fields",
              "tune.fields: " + field + " is named twice");
    }
    for (const config::TuneRange& range : tune.ranges()) {
      const std::string path = "tune.ranges." + range.path();
      require(has(fields, range.path()), path,
              path + " is not in tune.fields" + did_you_mean(range.path(), fields));
    }
    require(!tune.has_geometric() || fields.size() == 1, "tune.geometric",
            "tune.geometric is of a single field", "give tune.ranges");
    for (const std::string& path : tune.per()) {
      require(has(axes, path), "tune.per",
              "tune.per: " + path + " is no axis" + did_you_mean(path, axes));
    }
    for (const config::FieldValues& value : tune.at()) {
      const std::string path = "tune.at." + value.path();
      require(has(axes, value.path()), path,
              path + " is no axis" + did_you_mean(value.path(), axes));
      require(std::find(tune.per().begin(), tune.per().end(), value.path()) == tune.per().end(),
              path, path + " is in tune.per already");
      point[value.path()] = value.value();
      check_point(point, value.path(), path);
    }
    require(!tune.has_geometric() || tune.trials() == tune.geometric().points(), "tune.trials",
            "tune.trials is " + std::to_string(tune.trials()) +
                ", must equal tune.geometric.points (" + std::to_string(tune.geometric().points()) +
                ")");
    check_metric(tune.metric(), "tune.metric");
    check_tune_seeds(tune);
    try {
      for (const auto& values : tuning_points(apply_values(written_, point, ""))) {
        std::map<std::string, std::string> at = point;
        for (const auto& [field, value] : values) {
          at[field] = value;
        }
        check_point(at, tune.fields(0), "tune.fields");
      }
    } catch (const Error& error) {
      fail("tune.fields", error.message(), error.hint());
    }
  }

  // A field by its path, or by its name in one of the stages (`method` for `train.method`).
  void check_field_name(const std::string& name, const std::string& path) const {
    config::Sweep copy = written_;
    std::vector<std::string> known;
    for (const config::Stage& stage : sweep_.trial().stages()) {
      const std::vector<std::string> names =
          field_names(*stage.GetDescriptor()->FindFieldByName(stage_kind(stage))->message_type());
      known.insert(known.end(), names.begin(), names.end());
    }
    for (const config::Axis& axis : sweep_.axes()) {
      known.push_back(axis.path());
    }
    if (has(known, name) || name == "seed") {
      return;
    }
    try {
      static_cast<void>(find_field(copy, name, ""));
    } catch (const Error&) {
      fail(path, path + ": no field " + name + did_you_mean(name, known));
    }
  }

  void check_laws() const {
    const config::Laws& laws = sweep_.laws();
    if (is_written("laws.metric")) {
      check_metric(laws.metric(), "laws.metric");
    }
    for (const config::Target& target : laws.target()) {
      check_metric(target.metric(), "laws.target." + target.metric());
    }
    check_field_name(laws.x(), "laws.x");
    for (const std::string& field : laws.per()) {
      check_field_name(field, "laws.per");
    }
    for (const std::string& form : laws.forms()) {
      require_known(kForms, form, "laws.forms");
    }
  }

  void check_resources() const {
    const int wanted = sweep_.resources().ranks_per_gang();
    const planner::Plan plan = mesh_plan(sweep_.mesh());
    const int ranks = plan.axes.ranks();
    if (sweep_.mesh().choice() == config::MESH_CHOICE_AUTO) {
      require(!is_written("resources.ranks_per_gang") || wanted % ranks == 0,
              "resources.ranks_per_gang",
              "resources.ranks_per_gang is " + std::to_string(wanted) +
                  ", must be a multiple of the ranks that the mesh gives (" +
                  std::to_string(ranks) + ")");
    } else {
      require(ranks == wanted, "resources.ranks_per_gang",
              "resources.ranks_per_gang is " + std::to_string(wanted) +
                  ", must equal the ranks of the mesh (" + std::to_string(ranks) + ")",
              nearest_mesh_hint(sweep_, wanted));
      if (const auto fault = planner::find_fault(plan)) {
        fail("mesh." + fault->field, fault->message);
      }
    }
    const std::string& memory = sweep_.resources().memory_per_rank();
    require(memory.empty() || parse_bytes(memory).has_value(), "resources.memory_per_rank",
            "resources.memory_per_rank is \"" + memory +
                "\", must be a positive number of bytes, or one with KiB, MiB, GiB or TiB");
    check_slurm(sweep_.resources().slurm(), *this);
    check_pool(sweep_.resources(), *this);
  }

  const config::Sweep& written_;  // with its rounds, as axes and fields are named in it
  NamedFiles files_;
  mutable ExampleCounts counts_;
  mutable std::map<std::string, std::vector<std::string>> values_;  // by path of the axis
};

}  // namespace

void check_structure(const config::Sweep& sweep, const std::string& file,
                     const Positions& positions) {
  TrialRules(sweep, file, positions).check_structure();
}

void check_rules(const config::Sweep& sweep, const std::string& file, const Positions& positions,
                 NamedFiles files) {
  SweepRules(sweep, file, positions, files).check();
}

void check_combination(const config::Sweep& sweep, const std::string& where) {
  const Positions none;
  TrialRules(sweep, where, none).check_trial();
}

}  // namespace finescale
