// SPDX-License-Identifier: Apache-2.0
// theta_0 + sum of s_m (theta_m - theta_0).
#include "worker/transforms/transform.h"

namespace finescale {

namespace {

class TaskVectorTransform final : public Transform {
 public:
  explicit TaskVectorTransform(const config::TaskVectors& config)
      : scales_(config.scales().begin(), config.scales().end()) {}

  [[nodiscard]] TensorValues apply(const LogicalShape& /*tensor*/,
                                   std::vector<TensorValues>& models,
                                   const TransformContext& /*context*/) const override {
    TensorValues out = models[0];
    for (std::size_t m = 1; m < models.size(); ++m) {
      const double scale = scales_.empty() ? 1 : scales_.size() == 1 ? scales_[0] : scales_[m - 1];
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += scale * (models[m][i] - models[0][i]);
      }
    }
    return out;
  }

 private:
  std::vector<double> scales_;
};

}  // namespace

std::unique_ptr<Transform> make_task_vectors(const config::TaskVectors& config) {
  return std::make_unique<TaskVectorTransform>(config);
}

}  // namespace finescale
