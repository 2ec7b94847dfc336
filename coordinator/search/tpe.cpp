// SPDX-License-Identifier: Apache-2.0
// Tree-structured Parzen estimator (Bergstra et al. 2011) on the points of the axes: what was good
// and what was not are two densities, each a product over axes; of some draws from the first the
// one with the largest ratio is run. Open trials count as not good, so that they are not tried
// twice.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "coordinator/search/kinds.h"
#include "core/random.h"

namespace finescale {

namespace {

using Indices = std::vector<std::size_t>;

// A density over the values of one axis: counts, smoothed over neighbours where values are ordered,
// and one count spread over all.
std::vector<double> density(const std::vector<Indices>& seen, std::size_t axis, std::size_t size,
                            bool is_ordered) {
  const auto n = static_cast<double>(size);
  const double width = n / (1 + 2 * std::sqrt(static_cast<double>(seen.size())));
  std::vector<double> weights(size, 1 / n);
  for (const Indices& values : seen) {
    std::vector<double> bump(size, 0);
    double sum = 0;
    for (std::size_t v = 0; v < size; ++v) {
      const double away =
          (static_cast<double>(v) - static_cast<double>(values[axis])) / std::max(width, 0.25);
      bump[v] = is_ordered ? std::exp(-0.5 * away * away) : (v == values[axis] ? 1 : 0);
      sum += bump[v];
    }
    for (std::size_t v = 0; v < size; ++v) {
      weights[v] += bump[v] / sum;
    }
  }
  const double total = 1 + static_cast<double>(seen.size());
  for (double& weight : weights) {
    weight /= total;
  }
  return weights;
}

std::size_t draw(const std::vector<double>& weights, Random& random) {
  double left = random.uniform();
  for (std::size_t v = 0; v + 1 < weights.size(); ++v) {
    left -= weights[v];
    if (left < 0) {
      return v;
    }
  }
  return weights.size() - 1;
}

class Tpe : public Search {
 public:
  Tpe(const config::Tpe& config, SearchSpace space)
      : config_(config),
        space_(std::move(space)),
        order_(space_.num_points(), static_cast<std::uint64_t>(config.seed()), Purpose::kSearch) {}
  [[nodiscard]] bool is_adaptive() const override { return true; }

  [[nodiscard]] std::vector<std::uint64_t> next(
      std::span<const Observation> decided) const override {
    std::vector<Observation> all(decided.begin(), decided.end());
    auto open = std::count_if(all.begin(), all.end(),
                              [](const Observation& one) { return one.outcome == Outcome::kOpen; });
    const auto wanted =
        std::min<std::uint64_t>(space_.num_points(), static_cast<std::uint64_t>(config_.trials()));
    std::vector<std::uint64_t> points;
    for (; open < space_.open_limit && all.size() < wanted; ++open) {
      points.push_back(propose(all));
      all.push_back({points.back(), Outcome::kOpen, 0});
    }
    return points;
  }

 private:
  [[nodiscard]] std::uint64_t propose(const std::vector<Observation>& all) const {
    std::set<std::uint64_t> known;
    std::vector<Observation> measured;
    std::vector<Indices> others;
    for (const Observation& one : all) {
      known.insert(one.point);
      if (one.outcome == Outcome::kMeasured && std::isfinite(one.cost)) {
        measured.push_back(one);
      } else {
        others.push_back(space_.values(one.point));
      }
    }
    if (all.size() < static_cast<std::size_t>(config_.startup()) || measured.empty()) {
      return first_unknown(known);
    }
    std::stable_sort(measured.begin(), measured.end(),
                     [](const Observation& a, const Observation& b) { return a.cost < b.cost; });
    const auto num_good =
        static_cast<std::size_t>(std::ceil(config_.good() * static_cast<double>(measured.size())));
    std::vector<Indices> good;
    for (std::size_t i = 0; i < measured.size(); ++i) {
      (i < num_good ? good : others).push_back(space_.values(measured[i].point));
    }
    return best_candidate(good, others, known);
  }

  [[nodiscard]] std::uint64_t best_candidate(const std::vector<Indices>& good,
                                             const std::vector<Indices>& others,
                                             const std::set<std::uint64_t>& known) const {
    std::vector<std::vector<double>> is_good;
    std::vector<std::vector<double>> is_not;
    for (std::size_t axis = 0; axis < space_.sizes.size(); ++axis) {
      is_good.push_back(density(good, axis, space_.sizes[axis], space_.is_ordered[axis]));
      is_not.push_back(density(others, axis, space_.sizes[axis], space_.is_ordered[axis]));
    }
    // The stream of a decision is its number: a continued search draws as an undisturbed one.
    Random random(static_cast<std::uint64_t>(config_.seed()), Purpose::kSearch, 1 + known.size());
    std::uint64_t best = first_unknown(known);
    double best_ratio = -std::numeric_limits<double>::infinity();
    for (int i = 0; i < config_.candidates(); ++i) {
      Indices values(space_.sizes.size());
      double ratio = 0;
      for (std::size_t axis = 0; axis < values.size(); ++axis) {
        values[axis] = draw(is_good[axis], random);
        ratio += std::log(is_good[axis][values[axis]] / is_not[axis][values[axis]]);
      }
      const std::uint64_t point = space_.point(values);
      if (ratio > best_ratio && !known.contains(point)) {
        best = point;
        best_ratio = ratio;
      }
    }
    return best;
  }

  // The next point of a fixed random order.
  [[nodiscard]] std::uint64_t first_unknown(const std::set<std::uint64_t>& known) const {
    std::uint64_t index = 0;
    while (known.contains(order_[index])) {
      ++index;
    }
    return order_[index];
  }

  config::Tpe config_;
  SearchSpace space_;
  Permutation order_;
};

}  // namespace

std::unique_ptr<Search> make_tpe(const config::Tpe& config, const SearchSpace& space) {
  return std::make_unique<Tpe>(config, space);
}

}  // namespace finescale
