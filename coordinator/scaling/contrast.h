// SPDX-License-Identifier: Apache-2.0
// Decides rules that were stated before a run, from effects paired by seed: t intervals over seeds,
// decisions corrected for the number of rules (Holm 1979). Where effects take few values, p is not
// below that of the sign test, which needs no distribution. Pure.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace finescale {

enum class Decision { kReproduced, kRefuted, kUndecided };
[[nodiscard]] const char* decision_name(Decision decision) noexcept;

// A rule and what was measured for it.
struct ContrastData {
  std::string name;
  std::string what;       // for people: which arms, which metric
  bool is_ratio = false;  // effects are logarithms of ratios
  bool is_equivalence = false;
  bool takes_few_values = false;  // ranks, places: seeds agree by chance
  bool expects_more = true;       // effect > bound, else < bound
  double bound = 0;               // of a ratio the ratio itself; of equivalence the margin
  double level = 0.95;
  double most = std::numeric_limits<double>::infinity();  // no effect is larger, either way
  std::vector<double> effects;                            // one for each seed
  std::string why_not;  // why there is no decision, whatever the effects are; empty: there is
};

struct ContrastResult {
  ContrastData data;
  double effect = 0;  // mean over seeds; of ratios their geometric mean
  double low = 0;     // its interval at the level, of this rule alone
  double high = 0;
  double effect_size = 0;  // mean over standard deviation of the seeds (Cohen's d); 0 with one seed
  double p = 1;            // corrected for the number of rules
  Decision decision = Decision::kUndecided;
  std::string why;  // it could not be tested; empty: p says it
};

[[nodiscard]] std::vector<ContrastResult> decide(const std::vector<ContrastData>& rules);

// Seeds without which nothing decides the rule, whatever they give: two, or more where effects take
// few values; `alike` rules of the sweep do.
[[nodiscard]] std::size_t seeds_needed(const ContrastData& rule, std::size_t alike);

// Reproduced when all are, refuted when one is.
[[nodiscard]] Decision overall(const std::vector<ContrastResult>& results);

// "> 0", "within 0.05": as the sweep file says it.
[[nodiscard]] std::string rule_text(const ContrastData& rule);

}  // namespace finescale
