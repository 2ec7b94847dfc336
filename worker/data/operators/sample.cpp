// SPDX-License-Identifier: Apache-2.0
// A random part: every row has a number of its own, and the largest are kept, so that more hold
// fewer. With weights w the number is u^(1/w) (Efraimidis and Spirakis 2006).
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

class SampleOperator final : public Operator {
 public:
  explicit SampleOperator(const config::Sample& config) : config_(config) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    if (config_.replace()) {
      return draw_again(rows, context);
    }
    const std::size_t count = wanted_rows(config_.has_examples(), config_.examples(),
                                          config_.fraction(), rows.size(), context);
    std::vector<double> number(rows.size());
    std::size_t possible = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double weight = weight_of(rows[i], context);
      possible += weight > 0 ? 1 : 0;
      // The logarithm of u^(1/w).
      number[i] = weight > 0
                      ? std::log(1 - Random(context.seed, Purpose::kSubset, i).uniform()) / weight
                      : -INFINITY;
    }
    if (possible < count) {
      throw Error(ErrorKind::kConfig,
                  std::to_string(count) + " examples are wanted, but only " +
                      std::to_string(possible) + " have a " + config_.weight() + " above 0",
                  context.where);
    }
    std::vector<std::size_t> places(rows.size());
    std::iota(places.begin(), places.end(), std::size_t{0});
    std::stable_sort(places.begin(), places.end(),
                     [&](std::size_t a, std::size_t b) { return number[a] > number[b]; });
    places.resize(count);
    std::sort(places.begin(), places.end());
    keep_rows(rows, places);
  }

 private:
  [[nodiscard]] double weight_of(const Row& row, const OperatorContext& context) const {
    if (!config_.has_weight()) {
      return 1;
    }
    const double weight = number_of(row, config_.weight(), context.where);
    if (!(weight >= 0) || !std::isfinite(weight)) {
      throw Error(ErrorKind::kData, "a weight is negative or no number", context.where);
    }
    return weight;
  }

  void draw_again(std::vector<Row>& rows, const OperatorContext& context) const {
    const std::size_t count = config_.has_examples()
                                  ? static_cast<std::size_t>(config_.examples())
                                  : wanted_rows(false, 0, config_.fraction(), rows.size(), context);
    std::vector<double> sums;
    double sum = 0;
    for (const Row& row : rows) {
      sums.push_back(sum += weight_of(row, context));
    }
    if (!(sum > 0)) {
      throw Error(ErrorKind::kConfig, "there is no example with a weight above 0", context.where);
    }
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < count; ++i) {
      const double at = Random(context.seed, Purpose::kSubset, i).uniform() * sum;
      const auto found = std::upper_bound(sums.begin(), sums.end(), at) - sums.begin();
      places.push_back(std::min(static_cast<std::size_t>(found), rows.size() - 1));
    }
    keep_rows(rows, places);
  }

  config::Sample config_;
};

}  // namespace

std::unique_ptr<Operator> make_sample(const config::Sample& config) {
  return std::make_unique<SampleOperator>(config);
}

}  // namespace finescale
