// SPDX-License-Identifier: Apache-2.0
#include "worker/methods/method.h"

namespace finescale {

namespace {

class FullMethod final : public Method {
 public:
  explicit FullMethod(ParameterSet& base) : base_(&base) {}

  [[nodiscard]] ParameterSet& trainable() override { return *base_; }
  void bind_values(const UnitBlocks& /*blocks*/) override {}  // the model is given them
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override { return blocks; }
  [[nodiscard]] std::vector<LayerAdapters> adapters() const override { return {}; }
  [[nodiscard]] const char* checkpoint_group() const override { return "/model"; }
  [[nodiscard]] bool trains_base() const override { return true; }

 private:
  ParameterSet* base_;
};

}  // namespace

std::unique_ptr<Method> make_full(const config::Full& /*config*/, const MethodInput& input) {
  return std::make_unique<FullMethod>(*input.base.set);
}

}  // namespace finescale
