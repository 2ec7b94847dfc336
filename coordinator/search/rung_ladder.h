// SPDX-License-Identifier: Apache-2.0
// Points of a search that promotes, seen as configurations (the axes but the budget) on rungs (the
// budgets, ascending).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "coordinator/search/search.h"

namespace finescale {

class RungLadder {
 public:
  RungLadder(const config::Rungs& config, SearchSpace space);

  // Configurations that the search starts, in its order: rungs.trials of them drawn by the seed, or
  // all.
  [[nodiscard]] std::uint64_t num_starts() const noexcept { return num_starts_; }
  [[nodiscard]] std::uint64_t start(std::uint64_t index) const;  // the point on the lowest rung

  [[nodiscard]] std::size_t num_rungs() const noexcept { return space_.rungs.size(); }
  [[nodiscard]] std::size_t rung(std::uint64_t point) const;
  [[nodiscard]] std::uint64_t on_rung(std::uint64_t point, std::size_t rung) const;
  // Points compete within equal groups.
  [[nodiscard]] std::uint64_t group(std::uint64_t point) const;

  // The best 1 / eta of these, which are all of one rung and group, rounded down; best first, ties
  // in the order decided. Lost ones count, but are never among them.
  [[nodiscard]] std::vector<std::uint64_t> best(std::vector<Observation> settled,
                                                std::size_t at_least) const;

 private:
  config::Rungs config_;
  SearchSpace space_;
  std::uint64_t num_configurations_ = 1;
  std::uint64_t num_starts_ = 0;
};

}  // namespace finescale
