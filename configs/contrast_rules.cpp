// SPDX-License-Identifier: Apache-2.0
#include "configs/contrast_rules.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/error.h"

namespace finescale {

namespace {

using ValuesOf = std::function<const std::vector<std::string>&(const config::Axis&)>;
using CheckMetric = std::function<void(const std::string& metric, const std::string& path)>;

class ContrastRules {
 public:
  ContrastRules(const config::Sweep& sweep, const ValuesOf& values_of,
                const CheckMetric& check_metric, const RuleReport& report)
      : sweep_(sweep), values_of_(values_of), check_metric_(check_metric), report_(report) {
    for (const config::Axis& axis : sweep.axes()) {
      paths_.push_back(axis.path());
    }
  }

  void check(const config::Contrast& contrast, const std::string& path) const {
    report_.require(contrast.kind_case() != config::Contrast::KIND_NOT_SET, path,
                    path + " has no kind",
                    "give difference, ratio, equivalent, data_to_reach, interaction, spearman, "
                    "optimum_at or dominates");
    const std::string kind = path + "." + kind_name(contrast);
    std::set<std::string> taken = check_arms(contrast, kind);
    check_choices(contrast.at(), path + ".at");
    check_interaction(contrast, kind, taken);
    if (contrast.has_data_to_reach()) {
      const std::string axis = reach_axis(contrast, sweep_);
      report_.require(!axis.empty(), kind, kind + " needs an axis of data budgets",
                      "or name another axis of numbers as x");
      check_numbers(axis, kind + ".x");
    } else if (contrast.has_optimum_at()) {
      check_numbers(contrast.optimum_at().axis(), kind);
    } else if (contrast.has_spearman() && is_axis(contrast.spearman().with())) {
      check_numbers(contrast.spearman().with(), kind);
    } else if (contrast.has_spearman()) {
      check_metric_(contrast.spearman().with(), kind);
    }
    check_best(contrast, path, taken);
    check_expectation(contrast, path);
  }

 private:
  [[nodiscard]] bool is_axis(const std::string& path) const {
    return std::find(paths_.begin(), paths_.end(), path) != paths_.end();
  }

  // Axes of the arms.
  std::set<std::string> check_arms(const config::Contrast& contrast,
                                   const std::string& kind) const {
    std::set<std::string> of;
    const ContrastArms arms = arms_of(contrast);
    if (arms.of == nullptr) {
      return of;
    }
    check_choices(*arms.of, kind + ".of");
    check_choices(*arms.to, kind + ".to");
    std::set<std::string> to;
    for (const config::AxisChoice& choice : *arms.of) {
      of.insert(choice.path());
    }
    for (const config::AxisChoice& choice : *arms.to) {
      to.insert(choice.path());
    }
    report_.require(of == to, kind + ".to", kind + ": both arms must name the same axes");
    report_.require(!of.contains("seed"), kind, kind + ": trials are paired by seed",
                    "let the arms differ in another axis");
    return of;
  }

  void check_interaction(const config::Contrast& contrast, const std::string& kind,
                         std::set<std::string>& taken) const {
    if (!contrast.has_interaction()) {
      return;
    }
    check_choices(contrast.interaction().first(), kind + ".first");
    check_choices(contrast.interaction().second(), kind + ".second");
    std::set<std::string> first;
    std::set<std::string> second;
    for (const config::AxisChoice& choice : contrast.interaction().first()) {
      first.insert(choice.path());
      report_.require(!taken.contains(choice.path()) && choice.path() != "seed", kind + ".first",
                      kind + ".first: " + choice.path() + " differs between the arms already");
    }
    for (const config::AxisChoice& choice : contrast.interaction().second()) {
      second.insert(choice.path());
    }
    report_.require(first == second, kind + ".second",
                    kind + ": first and second must name the same axes");
    taken.insert(first.begin(), first.end());
  }

  void check_best(const config::Contrast& contrast, const std::string& path,
                  const std::set<std::string>& taken) const {
    for (const std::string& best : contrast.best_over()) {
      std::string what = path;
      what.append(".best_over: ").append(best).append(" is no axis beside those of the arms");
      what.append(is_axis(best) ? "" : did_you_mean(best, paths_));
      report_.require(is_axis(best) && !taken.contains(best) && best != "seed", path + ".best_over",
                      what);
    }
    report_.require(contrast.best_over().empty() ||
                        (arms_of(contrast).of != nullptr && !contrast.has_data_to_reach()),
                    path + ".best_over",
                    path +
                        ".best_over is of difference, ratio, equivalent, interaction and "
                        "dominates");
  }

  void check_expectation(const config::Contrast& contrast, const std::string& path) const {
    report_.require(contrast.has_margin() == contrast.has_equivalent(), path + ".margin",
                    path + ".margin is of equivalent, which needs it");
    const auto expectation = parse_expectation(contrast.expect());
    report_.require(
        expectation.has_value(), path + ".expect",
        path + ".expect is \"" + contrast.expect() + "\", must be > number or < number");
    report_.require(!is_ratio(contrast) || expectation->bound > 0, path + ".expect",
                    path + ".expect of a ratio must be > or < a positive number",
                    "for example expect: \"> 1\"");
  }

  void check_numbers(const std::string& path, const std::string& field) const {
    const auto axis = std::find_if(sweep_.axes().begin(), sweep_.axes().end(),
                                   [&](const config::Axis& known) { return known.path() == path; });
    report_.require(axis != sweep_.axes().end(), field,
                    field + ": " + path + " is no axis" + did_you_mean(path, paths_),
                    "axes: " + joined(paths_));
    for (const std::string& value : values_of_(*axis)) {
      double number = 0;
      const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
      report_.require(
          code == std::errc() && end == value.data() + value.size(), field,
          field + ": the axis " + path + " has the value " + value + ", must have numbers");
    }
  }

  static std::string kind_name(const config::Contrast& contrast) {
    return contrast.GetReflection()
        ->GetOneofFieldDescriptor(contrast, contrast.GetDescriptor()->oneof_decl(0))
        ->name();
  }

  void check_choices(const AxisChoices& choices, const std::string& field) const {
    for (const config::AxisChoice& choice : choices) {
      const std::string path = field + "." + choice.path();
      const auto axis =
          std::find_if(sweep_.axes().begin(), sweep_.axes().end(),
                       [&](const config::Axis& known) { return known.path() == choice.path(); });
      report_.require(
          axis != sweep_.axes().end(), path,
          path + ": " + choice.path() + " is no axis" + did_you_mean(choice.path(), paths_),
          "axes: " + joined(paths_));
      const std::vector<std::string>& known = values_of_(*axis);
      for (const std::string& value : choice.values()) {
        std::string what = path;
        what.append(": the axis has no value ").append(value);
        report_.require(std::find(known.begin(), known.end(), value) != known.end(), path, what,
                        "values: " + joined(known));
      }
    }
  }

  const config::Sweep& sweep_;
  const ValuesOf& values_of_;
  const CheckMetric& check_metric_;
  const RuleReport& report_;
  std::vector<std::string> paths_;
};

}  // namespace

std::optional<Expectation> parse_expectation(const std::string& text) {
  if (text.size() < 2 || (text[0] != '>' && text[0] != '<')) {
    return std::nullopt;
  }
  const std::size_t begin = text.find_first_not_of(' ', 1);
  Expectation expectation;
  expectation.more = text[0] == '>';
  if (begin == std::string::npos) {
    return std::nullopt;
  }
  const auto [end, code] =
      std::from_chars(text.data() + begin, text.data() + text.size(), expectation.bound);
  return code == std::errc() && end == text.data() + text.size() ? std::optional(expectation)
                                                                 : std::nullopt;
}

ContrastArms arms_of(const config::Contrast& contrast) {
  switch (contrast.kind_case()) {
    case config::Contrast::kDifference:
      return {&contrast.difference().of(), &contrast.difference().to()};
    case config::Contrast::kRatio:
      return {&contrast.ratio().of(), &contrast.ratio().to()};
    case config::Contrast::kEquivalent:
      return {&contrast.equivalent().of(), &contrast.equivalent().to()};
    case config::Contrast::kDataToReach:
      return {&contrast.data_to_reach().of(), &contrast.data_to_reach().to()};
    case config::Contrast::kInteraction:
      return {&contrast.interaction().of(), &contrast.interaction().to()};
    case config::Contrast::kDominates:
      return {&contrast.dominates().of(), &contrast.dominates().to()};
    case config::Contrast::kSpearman:
    case config::Contrast::kOptimumAt:
    case config::Contrast::KIND_NOT_SET:
      break;
  }
  return {};
}

std::string reach_axis(const config::Contrast& contrast, const config::Sweep& sweep) {
  if (contrast.data_to_reach().has_x()) {
    return contrast.data_to_reach().x();
  }
  for (const config::Axis& axis : sweep.axes()) {
    if (axis.path().ends_with("data_budget")) {
      return axis.path();
    }
  }
  return "";
}

bool is_ratio(const config::Contrast& contrast) {
  return contrast.has_ratio() || contrast.has_data_to_reach();
}

void check_contrasts(
    const config::Sweep& sweep, const ValuesOf& values_of,
    const std::function<void(const std::string& metric, const std::string& path)>& check_metric,
    const RuleReport& report) {
  const ContrastRules rules(sweep, values_of, check_metric, report);
  std::set<std::string> names;
  for (int i = 0; i < sweep.contrasts_size(); ++i) {
    const config::Contrast& contrast = sweep.contrasts(i);
    const std::string path = "contrasts[" + std::to_string(i) + "]";
    report.require_word(contrast.name(), path + ".name");
    report.require(names.insert(contrast.name()).second, path + ".name",
                   path + ".name: two contrasts are called " + contrast.name());
    check_metric(contrast.metric(), path + ".metric");
    rules.check(contrast, path);
  }
  report.require(!sweep.has_study() || sweep.contrasts_size() > 0, "study",
                 "study has no contrasts: nothing would be decided");
}

}  // namespace finescale
