// SPDX-License-Identifier: Apache-2.0
// Successive halving over data budgets (Jamieson and Talwalkar 2016): when all of a rung is
// settled, the best 1 / eta of each group go on to the next. What it decides follows from results
// alone, so the trials after any crash are those of the undisturbed search.
#include <algorithm>
#include <map>

#include "coordinator/search/kinds.h"
#include "coordinator/search/rung_ladder.h"

namespace finescale {

namespace {

class Halving : public Search {
 public:
  Halving(const config::Rungs& config, const SearchSpace& space) : ladder_(config, space) {}
  [[nodiscard]] bool is_adaptive() const override { return true; }

  [[nodiscard]] std::vector<std::uint64_t> next(
      std::span<const Observation> decided) const override {
    std::vector<std::uint64_t> points;
    if (decided.empty()) {
      for (std::uint64_t i = 0; i < ladder_.num_starts(); ++i) {
        points.push_back(ladder_.start(i));
      }
      return points;
    }
    const std::size_t rung = ladder_.rung(decided.back().point);  // decided rung by rung
    std::map<std::uint64_t, std::vector<Observation>> groups;
    for (const Observation& one : decided) {
      if (one.outcome == Outcome::kOpen) {
        return points;
      }
      if (ladder_.rung(one.point) == rung) {
        groups[ladder_.group(one.point)].push_back(one);
      }
    }
    if (rung + 1 == ladder_.num_rungs()) {
      return points;
    }
    for (const auto& [group, settled] : groups) {
      for (const std::uint64_t point : ladder_.best(settled, 1)) {
        points.push_back(ladder_.on_rung(point, rung + 1));
      }
    }
    return points;
  }

 private:
  RungLadder ladder_;
};

}  // namespace

std::unique_ptr<Search> make_halving(const config::Rungs& config, const SearchSpace& space) {
  return std::make_unique<Halving>(config, space);
}

}  // namespace finescale
