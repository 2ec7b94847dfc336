// SPDX-License-Identifier: Apache-2.0
// Asynchronous successive halving (Li et al. 2020, algorithm 2): a place that is free promotes the
// best that may be promoted, from the highest rung down, else starts another configuration. Nothing
// waits for a whole rung; so what is decided depends on who ends first, and is journalled.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "coordinator/search/kinds.h"
#include "coordinator/search/rung_ladder.h"

namespace finescale {

namespace {

class Asha : public Search {
 public:
  Asha(const config::Rungs& config, const SearchSpace& space)
      : ladder_(config, space), open_limit_(space.open_limit) {}
  [[nodiscard]] bool is_adaptive() const override { return true; }

  [[nodiscard]] std::vector<std::uint64_t> next(
      std::span<const Observation> decided) const override {
    std::set<std::uint64_t> known;
    std::map<Place, std::vector<Observation>> settled;
    std::uint64_t started = 0;
    std::int64_t open = 0;
    for (const Observation& one : decided) {
      const std::size_t rung = ladder_.rung(one.point);
      known.insert(one.point);
      started += rung == 0 ? 1 : 0;
      if (one.outcome == Outcome::kOpen) {
        ++open;
      } else {
        settled[{rung, ladder_.group(one.point)}].push_back(one);
      }
    }
    std::vector<std::uint64_t> promotions = promotable(settled, known);
    std::vector<std::uint64_t> points;
    for (auto promoted = promotions.begin(); open < open_limit_; ++open) {
      if (promoted != promotions.end()) {
        points.push_back(*promoted++);
      } else if (started < ladder_.num_starts()) {
        points.push_back(ladder_.start(started++));
      } else {
        break;
      }
    }
    return points;
  }

 private:
  using Place = std::pair<std::size_t, std::uint64_t>;  // rung, group

  // Points one rung above what is among the best of its rung, highest rung first.
  [[nodiscard]] std::vector<std::uint64_t> promotable(
      const std::map<Place, std::vector<Observation>>& settled,
      const std::set<std::uint64_t>& known) const {
    std::vector<std::uint64_t> points;
    for (auto place = settled.rbegin(); place != settled.rend(); ++place) {
      const std::size_t above = place->first.first + 1;
      if (above == ladder_.num_rungs()) {
        continue;
      }
      for (const std::uint64_t point : ladder_.best(place->second, 0)) {
        const std::uint64_t promoted = ladder_.on_rung(point, above);
        if (!known.contains(promoted)) {
          points.push_back(promoted);
        }
      }
    }
    return points;
  }

  RungLadder ladder_;
  std::int64_t open_limit_;
};

}  // namespace

std::unique_ptr<Search> make_asha(const config::Rungs& config, const SearchSpace& space) {
  return std::make_unique<Asha>(config, space);
}

}  // namespace finescale
