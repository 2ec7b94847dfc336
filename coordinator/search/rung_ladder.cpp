// SPDX-License-Identifier: Apache-2.0
#include "coordinator/search/rung_ladder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/random.h"

namespace finescale {

RungLadder::RungLadder(const config::Rungs& config, SearchSpace space)
    : config_(config), space_(std::move(space)) {
  num_configurations_ = space_.num_points() / space_.rungs.size();
  num_starts_ = config.has_trials()
                    ? std::min(num_configurations_, static_cast<std::uint64_t>(config.trials()))
                    : num_configurations_;
}

std::uint64_t RungLadder::start(std::uint64_t index) const {
  if (num_starts_ < num_configurations_) {
    index = Permutation(num_configurations_, static_cast<std::uint64_t>(config_.seed()),
                        Purpose::kSearch)[index];
  }
  std::vector<std::size_t> values(space_.sizes.size());
  for (std::size_t axis = values.size(); axis-- > 0;) {
    if (axis == space_.rung_axis) {
      values[axis] = space_.rungs.front();
    } else {
      values[axis] = static_cast<std::size_t>(index % space_.sizes[axis]);
      index /= space_.sizes[axis];
    }
  }
  return space_.point(values);
}

std::size_t RungLadder::rung(std::uint64_t point) const {
  const std::size_t value = space_.values(point)[space_.rung_axis];
  return static_cast<std::size_t>(std::find(space_.rungs.begin(), space_.rungs.end(), value) -
                                  space_.rungs.begin());
}

std::uint64_t RungLadder::on_rung(std::uint64_t point, std::size_t rung) const {
  std::vector<std::size_t> values = space_.values(point);
  values[space_.rung_axis] = space_.rungs.at(rung);
  return space_.point(values);
}

std::uint64_t RungLadder::group(std::uint64_t point) const {
  const std::vector<std::size_t> values = space_.values(point);
  std::uint64_t group = 0;
  for (const std::size_t axis : space_.per) {
    group = group * space_.sizes[axis] + values[axis];
  }
  return group;
}

std::vector<std::uint64_t> RungLadder::best(std::vector<Observation> settled,
                                            std::size_t at_least) const {
  const auto kept = static_cast<std::size_t>(
      std::floor(static_cast<double>(settled.size()) / config_.eta() + 1e-9));
  const auto lost = std::remove_if(settled.begin(), settled.end(), [](const Observation& one) {
    return one.outcome != Outcome::kMeasured || !std::isfinite(one.cost);
  });
  settled.erase(lost, settled.end());
  std::stable_sort(settled.begin(), settled.end(),
                   [](const Observation& a, const Observation& b) { return a.cost < b.cost; });
  settled.resize(std::min(settled.size(), std::max(kept, at_least)));
  std::vector<std::uint64_t> points;
  points.reserve(settled.size());
  for (const Observation& one : settled) {
    points.push_back(one.point);
  }
  return points;
}

}  // namespace finescale
