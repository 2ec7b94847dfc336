// SPDX-License-Identifier: Apache-2.0
#include "worker/transforms/transform.h"

namespace finescale {

namespace {

class AverageTransform final : public Transform {
 public:
  explicit AverageTransform(const config::ModelAverage& config)
      : weights_(config.weights().begin(), config.weights().end()) {}

  [[nodiscard]] TensorValues apply(const LogicalShape& /*tensor*/,
                                   std::vector<TensorValues>& models,
                                   const TransformContext& /*context*/) const override {
    double sum = 0;
    for (std::size_t m = 0; m < models.size(); ++m) {
      sum += weight(m);
    }
    TensorValues out(models[0].size(), 0);
    for (std::size_t m = 0; m < models.size(); ++m) {
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += weight(m) / sum * models[m][i];
      }
    }
    return out;
  }

 private:
  [[nodiscard]] double weight(std::size_t model) const {
    return weights_.empty() ? 1 : weights_[model];
  }
  std::vector<double> weights_;
};

}  // namespace

std::unique_ptr<Transform> make_average(const config::ModelAverage& config) {
  return std::make_unique<AverageTransform>(config);
}

}  // namespace finescale
