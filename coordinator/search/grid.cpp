// SPDX-License-Identifier: Apache-2.0
// Every point.
#include <numeric>

#include "coordinator/search/kinds.h"

namespace finescale {

namespace {

class GridSearch : public Search {
 public:
  explicit GridSearch(const SearchSpace& space) : num_points_(space.num_points()) {}
  [[nodiscard]] bool is_adaptive() const override { return false; }
  [[nodiscard]] std::vector<std::uint64_t> next(
      std::span<const Observation> decided) const override {
    std::vector<std::uint64_t> points(decided.empty() ? num_points_ : 0);
    std::iota(points.begin(), points.end(), std::uint64_t{0});
    return points;
  }

 private:
  std::uint64_t num_points_;
};

}  // namespace

std::unique_ptr<Search> make_grid_search(const SearchSpace& space) {
  return std::make_unique<GridSearch>(space);
}

}  // namespace finescale
