// SPDX-License-Identifier: Apache-2.0
// Different points drawn without replacement, in the order of the grid. More of them begin with the
// same draw.
#include <algorithm>

#include "coordinator/search/kinds.h"
#include "core/random.h"

namespace finescale {

namespace {

class RandomSearchKind : public Search {
 public:
  RandomSearchKind(const config::RandomSearch& config, const SearchSpace& space)
      : config_(config), num_points_(space.num_points()) {}
  [[nodiscard]] bool is_adaptive() const override { return false; }
  [[nodiscard]] std::vector<std::uint64_t> next(
      std::span<const Observation> decided) const override {
    std::vector<std::uint64_t> points;
    if (!decided.empty()) {
      return points;
    }
    const Permutation order(num_points_, static_cast<std::uint64_t>(config_.seed()),
                            Purpose::kSearch);
    const auto wanted = static_cast<std::uint64_t>(config_.trials());
    for (std::uint64_t i = 0; i < std::min(num_points_, wanted); ++i) {
      points.push_back(order[i]);
    }
    std::sort(points.begin(), points.end());
    return points;
  }

 private:
  config::RandomSearch config_;
  std::uint64_t num_points_;
};

}  // namespace

std::unique_ptr<Search> make_random_search(const config::RandomSearch& config,
                                           const SearchSpace& space) {
  return std::make_unique<RandomSearchKind>(config, space);
}

}  // namespace finescale
