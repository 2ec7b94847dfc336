// SPDX-License-Identifier: Apache-2.0
#include "configs/contrast_rules.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/error.h"

namespace finescale {

namespace {

using ValuesOf = std::function<const std::vector<std::string>&(const config::Axis&)>;
using Choices = google::protobuf::RepeatedPtrField<config::AxisChoice>;

class ContrastRules {
 public:
  ContrastRules(const config::Sweep& sweep, const ValuesOf& values_of, const RuleReport& report)
      : sweep_(sweep), values_of_(values_of), report_(report) {
    for (const config::Axis& axis : sweep.axes()) {
      paths_.push_back(axis.path());
    }
  }

  void check(const config::Contrast& contrast, const std::string& path) const {
    report_.require(contrast.kind_case() != config::Contrast::KIND_NOT_SET, path,
                    path + " has no kind", "give difference, ratio or equivalent");
    const config::Arms& arms = arms_of(contrast);
    const std::string kind = path + "." + kind_name(contrast);
    check_choices(arms.of(), kind + ".of");
    check_choices(arms.to(), kind + ".to");
    check_choices(contrast.at(), path + ".at");
    std::set<std::string> of;
    std::set<std::string> to;
    for (const config::AxisChoice& choice : arms.of()) {
      of.insert(choice.path());
    }
    for (const config::AxisChoice& choice : arms.to()) {
      to.insert(choice.path());
    }
    report_.require(of == to, kind + ".to", kind + ": both arms must name the same axes");
    report_.require(!of.contains("seed"), kind, kind + ": trials are paired by seed",
                    "let the arms differ in another axis");
    for (const std::string& best : contrast.best_over()) {
      const bool is_axis = std::find(paths_.begin(), paths_.end(), best) != paths_.end();
      std::string what = path;
      what.append(".best_over: ").append(best).append(" is no axis beside those of the arms");
      what.append(is_axis ? "" : did_you_mean(best, paths_));
      report_.require(is_axis && !of.contains(best) && best != "seed", path + ".best_over", what);
    }
    report_.require(contrast.has_margin() == contrast.has_equivalent(), path + ".margin",
                    path + ".margin is of equivalent, which needs it");
    const auto expectation = parse_expectation(contrast.expect());
    report_.require(
        expectation.has_value(), path + ".expect",
        path + ".expect is \"" + contrast.expect() + "\", must be > number or < number");
    report_.require(!contrast.has_ratio() || expectation->bound > 0, path + ".expect",
                    path + ".expect of a ratio must be > or < a positive number",
                    "for example expect: \"> 1\"");
  }

 private:
  static std::string kind_name(const config::Contrast& contrast) {
    return contrast.GetReflection()
        ->GetOneofFieldDescriptor(contrast, contrast.GetDescriptor()->oneof_decl(0))
        ->name();
  }

  void check_choices(const Choices& choices, const std::string& field) const {
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

const config::Arms& arms_of(const config::Contrast& contrast) {
  switch (contrast.kind_case()) {
    case config::Contrast::kRatio:
      return contrast.ratio();
    case config::Contrast::kEquivalent:
      return contrast.equivalent();
    case config::Contrast::kDifference:
    case config::Contrast::KIND_NOT_SET:
      break;
  }
  return contrast.difference();
}

void check_contrasts(
    const config::Sweep& sweep, const ValuesOf& values_of,
    const std::function<void(const std::string& metric, const std::string& path)>& check_metric,
    const RuleReport& report) {
  const ContrastRules rules(sweep, values_of, report);
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
