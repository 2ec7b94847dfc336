// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_cache.h"

#include <algorithm>

#include "configs/canonical.h"

namespace finescale {

namespace {

constexpr std::size_t kKept = 8;  // a search that decides by results has a plan for each decision

}  // namespace

const SearchSpace& PlanCache::space(const config::Sweep& sweep) {
  if (!space_) {
    space_ = AxisGrid(sweep).space(sweep);
  }
  return *space_;
}

const std::string& PlanCache::text(const config::Sweep& sweep) {
  if (text_.empty()) {
    text_ = canonical_text(sweep);
  }
  return text_;
}

const Planner& PlanCache::planner(const config::Sweep& sweep, const ContentHash& hash,
                                  const std::vector<std::uint64_t>& points,
                                  const TunedValues& tuned) {
  auto found = std::find_if(made_.begin(), made_.end(), [&](const Made& one) {
    return one.points == points && one.tuned == tuned;
  });
  if (found == made_.end()) {
    Made& made = *made_.emplace(made_.begin());
    made.sweep = std::make_unique<config::Sweep>(sweep);
    made.hash = std::make_unique<ContentHash>(hash);
    made.points = points;
    made.tuned = tuned;
    made.planner = std::make_unique<Planner>(*made.sweep, *made.hash);
    made.planner->add(points, tuned);
    made_.resize(std::min(made_.size(), kKept));
  } else {
    std::rotate(made_.begin(), found, found + 1);
  }
  return *made_.front().planner;
}

}  // namespace finescale
