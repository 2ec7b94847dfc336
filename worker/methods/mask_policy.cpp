// SPDX-License-Identifier: Apache-2.0
#include "worker/methods/mask_policy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.h"
#include "worker/methods/singular_values.h"

namespace finescale {

namespace {

std::vector<double> magnitudes(const std::vector<double>& values) {
  std::vector<double> scores(values.size());
  std::transform(values.begin(), values.end(), scores.begin(),
                 [](double value) { return std::abs(value); });
  return scores;
}

std::vector<double> random_scores(const MaskInput& input) {
  std::vector<double> scores(input.values->size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto words = philox(input.seed, Purpose::kAdapter, i, input.stream);
    scores[i] = static_cast<double>(words[0]) + 0x1p-32 * static_cast<double>(words[1]);
  }
  return scores;
}

std::vector<double> movements(const MaskInput& input) {
  std::vector<double> scores(input.values->size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = -(*input.values)[i] * (*input.gradient)[i];
  }
  return scores;
}

}  // namespace

bool needs_gradient(config::LiftMask mask) {
  return mask == config::LIFT_MASK_GRADIENT || mask == config::LIFT_MASK_MOVEMENT;
}

std::vector<double> mask_scores(const config::Lift& config, const MaskInput& input) {
  switch (config.mask()) {
    case config::LIFT_MASK_LOW_RANK:
      if (config.rank() < std::min(input.rows, input.cols)) {
        return magnitudes(
            low_rank_approximation(*input.values, input.rows, input.cols, config.rank()));
      }
      break;
    case config::LIFT_MASK_RANDOM:
      return random_scores(input);
    case config::LIFT_MASK_GRADIENT:
      return magnitudes(*input.gradient);
    case config::LIFT_MASK_MOVEMENT:
      return movements(input);
    case config::LIFT_MASK_MAGNITUDE:
      break;
  }
  return magnitudes(*input.values);
}

std::vector<std::int64_t> highest(const std::vector<double>& scores, std::int64_t count) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto end = order.begin() + std::min<std::int64_t>(count, std::ssize(order));
  std::nth_element(order.begin(), end, order.end(), [&](std::int64_t a, std::int64_t b) {
    const double left = scores[static_cast<std::size_t>(a)];
    const double right = scores[static_cast<std::size_t>(b)];
    return left != right ? left > right : a < b;
  });
  order.erase(end, order.end());
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace finescale
