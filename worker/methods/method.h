// SPDX-License-Identifier: Apache-2.0
// How weights change: which parameters train and what the base sees of them. One .cpp per method,
// registry.cpp lists them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "configs/schema/train.pb.h"
#include "worker/model/transformer.h"

namespace finescale {

class Method {
 public:
  virtual ~Method() = default;

  // The trainable parameters: for full fine-tuning the weights themselves, else the method's own.
  // Their units are the base's, one by one, and may be empty.
  [[nodiscard]] virtual ParameterSet& trainable() = 0;
  // The trainable values lie in these blocks from here on, at addresses that stay.
  virtual void bind_values(const UnitBlocks& blocks) = 0;
  // Points the model at the trainable parameters' gradient blocks for the next backward pass;
  // returns what to give Transformer::bind_gradient (empty: the base is frozen).
  virtual const UnitBlocks& bind_gradient(const UnitBlocks& blocks) = 0;
  // Adapters the model must use, also for evaluation; empty when the base itself carries the
  // change.
  [[nodiscard]] virtual std::vector<LayerAdapters> adapters() const = 0;
  // Group of the checkpoint that holds the trainable tensors: "/model" or "/adapter".
  [[nodiscard]] virtual const char* checkpoint_group() const = 0;
  // Whether the base's matrices get gradients (6 N FLOPs a token) or not (4 N).
  [[nodiscard]] virtual bool trains_base() const = 0;

 protected:
  Method() = default;
  Method(const Method&) = default;
  Method& operator=(const Method&) = default;
};

// base: the weights to start from; full fine-tuning changes them, others leave them as they are.
// seed keys fresh adapters.
[[nodiscard]] std::unique_ptr<Method> make_method(const config::Method& config,
                                                  const ModelLayout& layout, ParameterSet& base,
                                                  std::int64_t seed);

// Kinds, each defined in its own file.
[[nodiscard]] std::unique_ptr<Method> make_full(const config::Full& config, ParameterSet& base);
[[nodiscard]] std::unique_ptr<Method> make_lora(const config::Lora& config,
                                                const ModelLayout& layout, const ParameterSet& base,
                                                std::int64_t seed);

}  // namespace finescale
