// SPDX-License-Identifier: Apache-2.0
// The best approximation of a rank.
#include <algorithm>

#include "worker/methods/singular_values.h"
#include "worker/transforms/transform.h"

namespace finescale {

namespace {

class TruncateTransform final : public Transform {
 public:
  explicit TruncateTransform(const config::Truncate& config) : rank_(config.rank()) {}

  [[nodiscard]] TensorValues apply(const LogicalShape& tensor, std::vector<TensorValues>& models,
                                   const TransformContext& /*context*/) const override {
    if (tensor.columns == 0 || rank_ >= std::min(tensor.rows, tensor.columns)) {
      return std::move(models[0]);
    }
    return changed(models, [&](TensorValues& values) {
      const LowRankFactors factors = principal_factors(values, tensor.rows, tensor.columns, rank_);
      const auto rank = static_cast<std::size_t>(rank_);
      const auto columns = static_cast<std::size_t>(tensor.columns);
      std::fill(values.begin(), values.end(), 0.0);
      for (std::size_t row = 0; row < static_cast<std::size_t>(tensor.rows); ++row) {
        for (std::size_t k = 0; k < rank; ++k) {
          const double left = factors.left[row * rank + k];
          for (std::size_t column = 0; column < columns; ++column) {
            values[row * columns + column] += left * factors.right[k * columns + column];
          }
        }
      }
    });
  }

  [[nodiscard]] bool takes(const LogicalShape& tensor) const override {
    return is_layer_matrix(tensor);
  }

 private:
  std::int64_t rank_;
};

}  // namespace

std::unique_ptr<Transform> make_truncate(const config::Truncate& config) {
  return std::make_unique<TruncateTransform>(config);
}

}  // namespace finescale
