// SPDX-License-Identifier: Apache-2.0
// The elements of least magnitude become 0; of equal ones the first.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "worker/transforms/transform.h"

namespace finescale {

namespace {

class PruneTransform final : public Transform {
 public:
  explicit PruneTransform(const config::Prune& config) : fraction_(config.fraction()) {}

  [[nodiscard]] TensorValues apply(const LogicalShape& /*tensor*/,
                                   std::vector<TensorValues>& models,
                                   const TransformContext& /*context*/) const override {
    return changed(models, [this](TensorValues& values) {
      const auto count =
          static_cast<std::size_t>(std::llround(fraction_ * static_cast<double>(values.size())));
      std::vector<std::size_t> places(values.size());
      std::iota(places.begin(), places.end(), std::size_t{0});
      std::nth_element(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(count),
                       places.end(), [&](std::size_t a, std::size_t b) {
                         const double x = std::fabs(values[a]);
                         const double y = std::fabs(values[b]);
                         return x != y ? x < y : a < b;
                       });
      for (std::size_t i = 0; i < count; ++i) {
        values[places[i]] = 0;
      }
    });
  }

  [[nodiscard]] bool takes(const LogicalShape& tensor) const override {
    return is_layer_matrix(tensor);
  }

 private:
  double fraction_;
};

}  // namespace

std::unique_ptr<Transform> make_prune(const config::Prune& config) {
  return std::make_unique<PruneTransform>(config);
}

}  // namespace finescale
