// SPDX-License-Identifier: Apache-2.0
#include "tests/scaling/coverage.h"

#include "coordinator/scaling/intervals.h"
#include "coordinator/scaling/replicates.h"

namespace finescale::synthetic {
namespace {

void score(Tally& tally, std::size_t level, const Interval& interval, double truth) {
  const bool below = truth < interval.low;
  tally.covered[level] += !below && truth <= interval.high ? 1 : 0;
  tally.low[level] += below ? 1 : 0;
  if (std::isfinite(interval.low) && std::isfinite(interval.high)) {
    tally.width[level] += interval.high - interval.low;
    ++tally.finite[level];
  }
}

Interval in_logs(const Interval& interval) {
  return {std::log(interval.low), std::log(interval.high)};
}

}  // namespace

void Tally::add(const Tally& other) {
  tables += other.tables;
  for (std::size_t l = 0; l < kLevels.size(); ++l) {
    covered[l] += other.covered[l];
    low[l] += other.low[l];
    width[l] += other.width[l];
    finite[l] += other.finite[l];
  }
}

void Coverage::add(const Coverage& other) {
  tables += other.tables;
  loss.add(other.loss);
  target.add(other.target);
  crossover.add(other.crossover);
  crossovers += other.crossovers;
}

Coverage measure_table(const Setting& setting, const CoverageOptions& options,
                       unsigned long long seed) {
  const Sweep sweep = make_sweep(setting, seed);
  FitOptions fit;
  fit.least_squares = options.least_squares;
  std::vector<GroupStudy> groups;
  unsigned long long stream = 0;
  for (GroupData& data : split_groups(sweep.points)) {
    groups.push_back(
        study_group(std::move(data), options.forms, fit, options.replicates, seed, stream++));
  }
  Coverage result;
  result.tables = 1;
  const bool pair = groups.size() > 1;
  if (!pair) {
    result.loss.tables = result.target.tables = 1;
  }
  bool reported = false;
  for (std::size_t l = 0; l < kLevels.size(); ++l) {
    if (!pair) {
      score(result.loss, l, log_loss_interval(groups[0], 2 * sweep.max_D, kLevels[l]),
            curve_log_loss(sweep.curves[0], 2 * sweep.max_D));
      score(result.target, l, in_logs(target_interval(groups[0], sweep.target, kLevels[l])),
            std::log(sweep.target_D));
      continue;
    }
    const TestedCrossover ab = test_crossover(groups[0], groups[1], kLevels[l]);
    const TestedCrossover ba = test_crossover(groups[1], groups[0], kLevels[l]);
    reported = reported || ab.supported || ba.supported;
    if (ab.supported && sweep.crossing > 0) {
      result.crossover.tables = 1;
      score(result.crossover, l, in_logs(ab.crossover.interval), std::log(sweep.crossing));
    }
  }
  result.crossovers = reported ? 1 : 0;
  return result;
}

}  // namespace finescale::synthetic
