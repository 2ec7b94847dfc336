// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "coordinator/scaling/study_parts.h"

namespace finescale {
namespace {

constexpr double kSearchBeyond = 8;  // replicates may cross this factor outside the budgets
constexpr double kWorthANote = 0.5;  // share of replicates above which a refusal is explained

struct Tested {
  Crossover crossover;
  bool supported = false;
};

Tested test_pair(const GroupStudy& a, const GroupStudy& b, double level) {
  const double low = std::max(a.data.min_D(), b.data.min_D());
  const double high = 2 * std::min(a.data.max_D(), b.data.max_D());
  Tested result;
  result.crossover.a = a.data.name;
  result.crossover.b = b.data.name;
  if (!(low < high)) {
    return result;
  }
  const double at = ln_crossing(a.chosen, b.chosen, low, high);
  std::vector<double> places;
  int inside = 0;
  const std::size_t replicates = std::min(a.curves.size(), b.curves.size());
  for (std::size_t r = 0; r < replicates; ++r) {
    inside += std::isfinite(ln_crossing(a.curves[r], b.curves[r], low, high)) ? 1 : 0;
    places.push_back(
        ln_crossing(a.curves[r], b.curves[r], low / kSearchBeyond, high * kSearchBeyond));
  }
  result.crossover.probability =
      replicates > 0 ? static_cast<double>(inside) / static_cast<double>(replicates) : 0;
  if (std::isfinite(at)) {
    result.crossover.at = std::exp(at);
    const Interval interval = percentile_interval(std::move(places), level);
    result.crossover.interval = {std::exp(interval.low), std::exp(interval.high)};
    result.supported = result.crossover.probability >= kCrossoverShare;
  }
  return result;
}

}  // namespace

void find_crossovers(const std::vector<GroupStudy>& groups, double level, Study& study) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = 0; j < groups.size(); ++j) {
      if (i == j) {
        continue;  // both orders: a is the better one on little data
      }
      Tested tested = test_pair(groups[i], groups[j], level);
      if (tested.supported) {
        study.crossovers.push_back(std::move(tested.crossover));
      } else if (tested.crossover.probability >= kWorthANote) {
        study.notes.push_back("a crossover from " + tested.crossover.a + " to " +
                              tested.crossover.b + " is not supported: only " +
                              percent_text(tested.crossover.probability) +
                              " of the replicates have it");
      }
    }
  }
}

}  // namespace finescale
