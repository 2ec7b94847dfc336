// SPDX-License-Identifier: Apache-2.0
// Full fine-tuning: the weights themselves train, all of them or those of the last layers.
#include "worker/methods/method.h"

namespace finescale {

namespace {

class FullMethod final : public Method {
 public:
  FullMethod(const config::Full& config, const MethodInput& input) : base_(input.base.set) {
    const ModelLayout& layout = *input.layout;
    const int first = config.has_last_layers() ? layout.shape().num_layers - config.last_layers()
                                               : 0;  // of the whole model's layers
    trains_.assign(base_->units().size(), !config.has_last_layers());
    if (config.has_last_layers()) {
      for (int i = 0; i < layout.num_layers(); ++i) {
        trains_[static_cast<std::size_t>(layout.layer_unit(i))] =
            layout.part().first_layer + i >= first;
      }
      if (layout.part().has_head) {
        trains_[static_cast<std::size_t>(layout.final_unit())] = true;
      }
    }
  }

  [[nodiscard]] ParameterSet& trainable() override { return *base_; }
  void bind_values(const UnitBlocks& /*blocks*/) override {}  // the model is given them
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override { return blocks; }
  [[nodiscard]] ModelAdapters adapters() const override { return {}; }
  [[nodiscard]] const char* checkpoint_group() const override { return "/model"; }
  [[nodiscard]] bool trains_base() const override { return true; }
  [[nodiscard]] bool trains_tensor(int tensor) const override {
    return trains_unit(base_->unit_of(tensor));
  }
  [[nodiscard]] bool trains_unit(int unit) const override {
    return trains_[static_cast<std::size_t>(unit)];
  }

 private:
  ParameterSet* base_;
  std::vector<bool> trains_;  // by unit
};

}  // namespace

std::unique_ptr<Method> make_full(const config::Full& config, const MethodInput& input) {
  return std::make_unique<FullMethod>(config, input);
}

}  // namespace finescale
