// SPDX-License-Identifier: Apache-2.0
// A method that consists of adapters on linear layers: what its kinds have in common.
#pragma once

#include "worker/methods/linear_adapters.h"

namespace finescale {

class AdapterMethod : public Method {
 public:
  [[nodiscard]] ParameterSet& trainable() override { return adapters_.parameters(); }
  [[nodiscard]] ParameterSet* constants() override {
    return adapters_.has_constants() ? &adapters_.constants() : nullptr;
  }
  void bind_values(const UnitBlocks& blocks) override { adapters_.bind_values(blocks); }
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override {
    static const UnitBlocks kFrozen;
    adapters_.bind_gradient(blocks);
    return kFrozen;
  }
  [[nodiscard]] ModelAdapters adapters() const override { return {adapters_.layers()}; }
  [[nodiscard]] const char* checkpoint_group() const override { return "/adapter"; }
  [[nodiscard]] bool trains_base() const override { return false; }

 protected:
  AdapterMethod(const MethodInput& input, AdapterPlan plan)
      : plan_(std::move(plan)), adapters_(input, plan_) {}

  // The first values of A; B is zero already.
  void fill_a(std::int64_t seed) {
    ParameterSet& set = adapters_.parameters();
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      fill_uniform(seed, set.tensor(target.a), set.part(target.a), set.view(target.a));
    }
  }

  AdapterPlan plan_;
  LinearAdapters adapters_;
};

template <class Names>
std::vector<std::string> names_of(const Names& names) {
  return {names.begin(), names.end()};
}

}  // namespace finescale
