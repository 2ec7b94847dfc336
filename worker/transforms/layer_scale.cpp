// SPDX-License-Identifier: Apache-2.0
// LiNeS, equation 4: the scale goes on a line from the first layer to the last.
#include <charconv>

#include "worker/transforms/transform.h"

namespace finescale {

namespace {

constexpr std::string_view kLayers = "model.layers.";

class LayerScaleTransform final : public Transform {
 public:
  explicit LayerScaleTransform(const config::LayerScale& config)
      : first_(config.first()), last_(config.last()) {}

  [[nodiscard]] TensorValues apply(const LogicalShape& tensor, std::vector<TensorValues>& models,
                                   const TransformContext& context) const override {
    const double scale = first_ + (last_ - first_) * height(tensor.name, context.shape.num_layers);
    return changed(models, [scale](TensorValues& difference) {
      for (double& value : difference) {
        value *= scale;
      }
    });
  }

 private:
  // 0 at the bottom, 1 at the top.
  static double height(const std::string& name, int num_layers) {
    if (!name.starts_with(kLayers)) {
      return name.starts_with("model.embed") ? 0 : 1;
    }
    int layer = 0;
    std::from_chars(name.data() + kLayers.size(), name.data() + name.size(), layer);
    return num_layers > 1 ? static_cast<double>(layer) / (num_layers - 1) : 1;
  }
  double first_;
  double last_;
};

}  // namespace

std::unique_ptr<Transform> make_layer_scale(const config::LayerScale& config) {
  return std::make_unique<LayerScaleTransform>(config);
}

}  // namespace finescale
