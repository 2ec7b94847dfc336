// SPDX-License-Identifier: Apache-2.0
#include "worker/transforms/transform.h"

namespace finescale {

namespace {

class InterpolateTransform final : public Transform {
 public:
  explicit InterpolateTransform(const config::Interpolate& config) : at_(config.at()) {}

  [[nodiscard]] TensorValues apply(const LogicalShape& /*tensor*/,
                                   std::vector<TensorValues>& models,
                                   const TransformContext& /*context*/) const override {
    TensorValues out = std::move(models[0]);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = (1 - at_) * out[i] + at_ * models[1][i];
    }
    return out;
  }

 private:
  double at_;
};

}  // namespace

std::unique_ptr<Transform> make_interpolate(const config::Interpolate& config) {
  return std::make_unique<InterpolateTransform>(config);
}

}  // namespace finescale
