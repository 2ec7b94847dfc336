// SPDX-License-Identifier: Apache-2.0
// By length, and by loss: what lies between two quantiles of a number of each example.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "worker/selection/selector.h"

namespace finescale {

namespace {

using Measure = double (*)(const RawExample& example);

double length_of(const RawExample& example) {
  return static_cast<double>(example.response.size());
}

class QuantileSelector final : public Selector {
 public:
  QuantileSelector(const config::Quantiles& config, Measure measure)
      : from_(config.from()), to_(config.to()), measure_(measure) {}

  // Ranks floor(from n) to ceil(to n) - 1 by the measure; equal ones in their order.
  [[nodiscard]] std::vector<RawExample> select(std::vector<RawExample> examples,
                                               const SelectionContext&) const override {
    const auto n = static_cast<double>(examples.size());
    std::vector<double> values(examples.size());
    std::transform(examples.begin(), examples.end(), values.begin(), measure_);
    std::vector<std::size_t> places(examples.size());
    std::iota(places.begin(), places.end(), 0);
    std::stable_sort(places.begin(), places.end(),
                     [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    // The products of a count and a decimal fraction miss whole numbers by rounding.
    constexpr double kRounding = 1e-9;
    const auto begin = static_cast<std::ptrdiff_t>(std::floor(from_ * n + kRounding));
    const auto end = static_cast<std::ptrdiff_t>(std::ceil(to_ * n - kRounding));
    std::vector<std::size_t> kept(places.begin() + begin, places.begin() + std::max(begin, end));
    std::sort(kept.begin(), kept.end());
    return take_at(std::move(examples), kept);
  }

 private:
  double from_;
  double to_;
  Measure measure_;
};

}  // namespace

std::unique_ptr<Selector> make_length(const config::Quantiles& config) {
  return std::make_unique<QuantileSelector>(config, length_of);
}

std::unique_ptr<Selector> make_loss(const config::Quantiles& config) {
  return std::make_unique<QuantileSelector>(config, loss_of);
}

}  // namespace finescale
