// SPDX-License-Identifier: Apache-2.0
#include "coordinator/contrasts.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>
#include <nlohmann/json.hpp>

#include "configs/contrast_rules.h"
#include "coordinator/axis_grid.h"
#include "coordinator/contrast_effects.h"

namespace finescale {

namespace {

std::string text_of(const AxisChoices& choices) {
  std::string text;
  for (const config::AxisChoice& choice : choices) {
    std::string values;
    for (const std::string& value : choice.values()) {
      values += (values.empty() ? "" : " or ") + short_value(value);
    }
    text += (text.empty() ? "" : ", ") + choice.path() + " " + values;
  }
  return text;
}

// "held_out.loss of train.method lora against train.method full"
std::string comparison(const config::Contrast& contrast, const config::Sweep& sweep) {
  const ContrastArms arms = arms_of(contrast);
  const std::string& metric = contrast.metric();
  switch (contrast.kind_case()) {
    case config::Contrast::kSpearman:
      return "rank correlation of " + metric + " with " + contrast.spearman().with();
    case config::Contrast::kOptimumAt:
      return contrast.optimum_at().axis() + " at which " + metric + " is best";
    case config::Contrast::kDataToReach:
      return reach_axis(contrast, sweep) + " until " + metric + " is " +
             fmt::format("{:g}", contrast.data_to_reach().value()) + ", of " + text_of(*arms.of) +
             " over " + text_of(*arms.to);
    case config::Contrast::kInteraction:
      return metric + " of " + text_of(*arms.of) + " against " + text_of(*arms.to) + ", at " +
             text_of(contrast.interaction().first()) + " more than at " +
             text_of(contrast.interaction().second());
    case config::Contrast::kDominates:
      return "least advantage in " + metric + " of " + text_of(*arms.of) + " against " +
             text_of(*arms.to);
    case config::Contrast::kDifference:
    case config::Contrast::kRatio:
    case config::Contrast::kEquivalent:
    case config::Contrast::KIND_NOT_SET:
      break;
  }
  return metric + " of " + text_of(*arms.of) + (contrast.has_ratio() ? " over " : " against ") +
         text_of(*arms.to);
}

ContrastData rule_of(const config::Contrast& contrast, const config::Sweep& sweep) {
  ContrastData out;
  out.name = contrast.name();
  out.what = comparison(contrast, sweep);
  out.what += contrast.at().empty() ? "" : ", at " + text_of(contrast.at());
  for (const std::string& path : contrast.best_over()) {
    out.what += ", each at its best " + path;
  }
  out.is_ratio = is_ratio(contrast);
  out.is_equivalence = contrast.has_equivalent();
  out.takes_few_values = contrast.has_spearman() || contrast.has_optimum_at();
  out.most = contrast.has_spearman() ? 1 : out.most;
  const Expectation expected = *parse_expectation(contrast.expect());
  out.expects_more = expected.more;
  out.bound = out.is_equivalence ? contrast.margin() : expected.bound;
  out.level = contrast.level();
  return out;
}

ContrastData data_of(const config::Contrast& contrast, const config::Sweep& sweep,
                     const std::vector<TrialRow>& rows) {
  ContrastData out = rule_of(contrast, sweep);
  ContrastEffects effects = contrast_effects(contrast, sweep, rows);
  out.effects = std::move(effects.by_seed);
  out.why_not = std::move(effects.why_not);
  return out;
}

}  // namespace

std::vector<ContrastResult> decide_contrasts(const config::Sweep& sweep,
                                             const std::vector<TrialRow>& rows) {
  std::vector<ContrastData> data;
  for (const config::Contrast& contrast : sweep.contrasts()) {
    data.push_back(data_of(contrast, sweep, rows));
  }
  return decide(data);
}

std::vector<std::string> undecidable_contrasts(const config::Sweep& sweep) {
  std::size_t seeds = 1;
  const AxisGrid grid(sweep);
  for (const auto& [path, values] : grid.axes()) {
    seeds = path == "seed" ? values.size() : seeds;
  }
  std::vector<ContrastData> rules;
  for (const config::Contrast& contrast : sweep.contrasts()) {
    rules.push_back(rule_of(contrast, sweep));
  }
  const auto alike = static_cast<std::size_t>(std::count_if(
      rules.begin(), rules.end(), [](const ContrastData& rule) { return rule.takes_few_values; }));
  std::vector<std::string> lines;
  for (const ContrastData& rule : rules) {
    if (const std::size_t needed = seeds_needed(rule, alike); seeds < needed) {
      lines.push_back(fmt::format("contrast {} cannot be decided with {} seed{}: it takes {}",
                                  rule.name, seeds, seeds == 1 ? "" : "s", needed));
    }
  }
  return lines;
}

std::string contrasts_text(const config::Sweep& sweep, const std::vector<ContrastResult>& results) {
  std::string text;
  if (sweep.has_study()) {
    text += fmt::format("{}. {}\nclaim: {}\n", sweep.study().number(), sweep.study().title(),
                        sweep.study().claim());
  }
  for (const ContrastResult& r : results) {
    text += fmt::format("  {}: {}\n    {}\n    expected {}, found {:.4g} [{:.4g}, {:.4g}] at {:g}%",
                        r.data.name, decision_name(r.decision), r.data.what, rule_text(r.data),
                        r.effect, r.low, r.high, 100 * r.data.level);
    text += fmt::format(", d = {:.2g}, {} seeds, p = {:.2g}{}\n", r.effect_size,
                        r.data.effects.size(), r.p, r.why.empty() ? "" : " (" + r.why + ")");
  }
  if (sweep.has_study()) {
    text += fmt::format("verdict: {}\n", decision_name(overall(results)));
  }
  return text;
}

std::string contrasts_json(const config::Sweep& sweep, const std::vector<ContrastResult>& results) {
  nlohmann::json list = nlohmann::json::array();
  for (const ContrastResult& r : results) {
    list.push_back({{"name", r.data.name},
                    {"what", r.data.what},
                    {"expect", rule_text(r.data)},
                    {"effect", r.effect},
                    {"interval", {r.low, r.high}},
                    {"level", r.data.level},
                    {"effect_size", r.effect_size},
                    {"seeds", r.data.effects.size()},
                    {"p", r.p},
                    {"decision", decision_name(r.decision)},
                    {"why", r.why}});
  }
  nlohmann::json answer = {{"contrasts", list}};
  if (sweep.has_study()) {
    answer["study"] = {{"number", sweep.study().number()},
                       {"title", sweep.study().title()},
                       {"claim", sweep.study().claim()},
                       {"verdict", decision_name(overall(results))}};
  }
  return answer.dump(1);
}

}  // namespace finescale
