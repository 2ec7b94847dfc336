// SPDX-License-Identifier: Apache-2.0
// A method whose only parameters belong to virtual tokens: what prompt tuning and prefix tuning
// have in common.
#pragma once

#include "worker/methods/method.h"

namespace finescale {

class VirtualTokenMethod : public Method {
 public:
  [[nodiscard]] ParameterSet& trainable() override { return set_; }
  const UnitBlocks& bind_gradient(const UnitBlocks& blocks) override {
    static const UnitBlocks kFrozen;
    bind(blocks, &Weight::gradient);
    return kFrozen;
  }
  void bind_values(const UnitBlocks& blocks) override { bind(blocks, &Weight::value); }
  [[nodiscard]] const char* checkpoint_group() const override { return "/adapter"; }
  [[nodiscard]] bool trains_base() const override { return false; }

 protected:
  explicit VirtualTokenMethod(const MethodInput& input)
      : set_(input.base.set->dtype(), input.base.set->tensor_rank(),
             input.base.set->tensor_size()) {}

  // Points each weight of the kind to its tensor in the blocks.
  virtual void bind(const UnitBlocks& blocks, TensorView Weight::*place) = 0;

  // After the last declare: units as the base has them, in memory of their own, to be bound.
  [[nodiscard]] UnitBlocks allocate(const ParameterSet& base) {
    while (set_.units().size() < base.units().size()) {
      set_.begin_unit();
    }
    set_.allocate();
    UnitBlocks blocks;
    set_.split(set_.flat(), blocks);
    return blocks;
  }
  // Normal numbers, as PEFT's embeddings begin: keyed by the element, whatever the mesh.
  void fill_normal(std::int64_t seed, int tensor) {
    DecoderShape standard;
    standard.initializer_range = 1;
    initialize_tensor(standard, seed, set_.tensor(tensor), set_.part(tensor), set_.view(tensor));
  }

  ParameterSet set_;
};

}  // namespace finescale
