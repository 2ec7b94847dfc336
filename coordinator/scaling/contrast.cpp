// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/contrast.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "coordinator/scaling/student_t.h"

namespace finescale {

namespace {

struct Moments {
  double mean = 0;
  double deviation = 0;  // of the seeds
  double error = 0;      // of the mean
  double freedom = 0;
};

Moments moments_of(const std::vector<double>& values) {
  Moments m;
  const auto n = static_cast<double>(values.size());
  m.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) {
    squares += (value - m.mean) * (value - m.mean);
  }
  m.freedom = n - 1;
  m.deviation = n > 1 ? std::sqrt(squares / m.freedom) : 0;
  m.error = m.deviation / std::sqrt(n);
  return m;
}

// One-sided: how probable a mean this large is when the true one is `bound`.
double p_above(const Moments& m, double bound) {
  if (m.error == 0) {  // seeds that agree to the last bit leave no doubt
    return m.mean > bound ? 0 : 1;
  }
  return 1 - student_t_cdf((m.mean - bound) / m.error, m.freedom);
}
double p_below(const Moments& m, double bound) {
  return m.error == 0 ? (m.mean < bound ? 0 : 1)
                      : student_t_cdf((m.mean - bound) / m.error, m.freedom);
}

// Evidence for one side of the rule, and for the other.
struct Sides {
  double for_it = 1;
  double against = 1;
};

// p of the sign test when all seeds lie on one side.
double least_p(double seeds) {
  return std::exp2(-seeds);
}

Sides sides_of(const ContrastData& rule, const Moments& m) {
  if (rule.is_equivalence) {  // two one-sided tests, and its opposite
    return {std::max(p_above(m, -rule.bound), p_below(m, rule.bound)),
            2 * std::min(p_below(m, -rule.bound), p_above(m, rule.bound))};
  }
  const double bound = rule.is_ratio ? std::log(rule.bound) : rule.bound;
  // Twice: the other side is looked at too.
  const double least = rule.takes_few_values ? least_p(m.freedom + 1) : 0;
  const double above = 2 * std::max(least, p_above(m, bound));
  const double below = 2 * std::max(least, p_below(m, bound));
  return rule.expects_more ? Sides{above, below} : Sides{below, above};
}

void summarise(const Moments& m, ContrastResult& result) {
  const double reach =
      m.error == 0 ? 0 : m.error * student_t_quantile(1 - (1 - result.data.level) / 2, m.freedom);
  const auto shown = [&](double value) { return result.data.is_ratio ? std::exp(value) : value; };
  result.effect = shown(m.mean);
  result.low = shown(std::max(m.mean - reach, -result.data.most));
  result.high = shown(std::min(m.mean + reach, result.data.most));
  result.effect_size = m.deviation > 0 ? m.mean / m.deviation : 0;
}

std::string bound_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

const char* decision_name(Decision decision) noexcept {
  switch (decision) {
    case Decision::kReproduced:
      return "reproduced";
    case Decision::kRefuted:
      return "not reproduced";
    case Decision::kUndecided:
      break;
  }
  return "undecided";
}

std::vector<ContrastResult> decide(const std::vector<ContrastData>& rules) {
  std::vector<ContrastResult> results;
  std::vector<Sides> sides(rules.size());
  std::vector<std::size_t> tested;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    ContrastResult& result = results.emplace_back();
    result.data = rules[i];
    result.why = rules[i].why_not;
    if (result.why.empty() && rules[i].effects.size() < 2) {
      result.why = "an interval needs two seeds or more";
    }
    if (!rules[i].effects.empty()) {
      const Moments m = moments_of(rules[i].effects);
      summarise(m, result);
      sides[i] = result.why.empty() ? sides_of(rules[i], m) : sides[i];
    }
    if (result.why.empty()) {
      tested.push_back(i);
    }
  }
  const auto p_of = [&](std::size_t i) { return std::min(sides[i].for_it, sides[i].against); };
  std::sort(tested.begin(), tested.end(),
            [&](std::size_t a, std::size_t b) { return p_of(a) < p_of(b); });
  double largest = 0;  // a step of Holm's is never below the one before
  for (std::size_t k = 0; k < tested.size(); ++k) {
    ContrastResult& result = results[tested[k]];
    const auto left = static_cast<double>(tested.size() - k);
    largest = std::max(largest, std::min(1.0, left * p_of(tested[k])));
    result.p = largest;
    if (result.p < 1 - result.data.level) {
      const Sides& s = sides[tested[k]];
      result.decision = s.for_it <= s.against ? Decision::kReproduced : Decision::kRefuted;
    }
  }
  return results;
}

std::size_t seeds_needed(const ContrastData& rule, std::size_t alike) {
  std::size_t seeds = 2;
  while (rule.takes_few_values &&
         2 * static_cast<double>(alike) * least_p(static_cast<double>(seeds)) >= 1 - rule.level) {
    ++seeds;
  }
  return seeds;
}

Decision overall(const std::vector<ContrastResult>& results) {
  const auto is = [](Decision wanted) {
    return [wanted](const ContrastResult& result) { return result.decision == wanted; };
  };
  if (std::any_of(results.begin(), results.end(), is(Decision::kRefuted))) {
    return Decision::kRefuted;
  }
  return !results.empty() && std::all_of(results.begin(), results.end(), is(Decision::kReproduced))
             ? Decision::kReproduced
             : Decision::kUndecided;
}

std::string rule_text(const ContrastData& rule) {
  return (rule.is_equivalence ? "within "
          : rule.expects_more ? "> "
                              : "< ") +
         bound_text(rule.bound);
}

}  // namespace finescale
