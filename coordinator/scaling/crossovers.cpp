// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/study_parts.h"

namespace finescale {
namespace {

constexpr double kWorthANote = 0.5;  // share of replicates above which a refusal is explained

}  // namespace

void find_crossovers(const std::vector<GroupStudy>& groups, double level, Study& study) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = 0; j < groups.size(); ++j) {
      if (i == j) {
        continue;  // both orders: a is the better one on little data
      }
      TestedCrossover tested = test_crossover(groups[i], groups[j], level);
      if (tested.supported) {
        study.crossovers.push_back(std::move(tested.crossover));
      } else if (tested.crossover.probability >= kWorthANote) {
        study.notes.push_back("a crossover from " + tested.crossover.a + " to " +
                              tested.crossover.b +
                              " is not supported: " + percent_text(tested.crossover.probability) +
                              " of the replicates have it, but which method is better is not sure "
                              "at both ends of the budgets");
      }
    }
  }
}

}  // namespace finescale
