// SPDX-License-Identifier: Apache-2.0
// AdamW over a flat block of parameters (Loshchilov and Hutter 2019): state, decoupled decay,
// clipping by the global norm.
#pragma once

#include <cstdint>

#include "configs/schema/train.pb.h"
#include "core/device.h"
#include "worker/model/parameters.h"

namespace finescale {

class AdamW {
 public:
  AdamW(const config::Train& train, const ParameterSet& parameters);

  // gradient: flat block of the parameters' layout. Clips to clip_norm (0: not), then updates in
  // place. Returns the norm before clipping; when it is not finite nothing is changed.
  double update(const Stream& stream, ParameterSet& parameters, const TensorView& gradient,
                std::int64_t step, double learning_rate);

  [[nodiscard]] TensorView m() const noexcept { return m_; }
  [[nodiscard]] TensorView v() const noexcept { return v_; }

 private:
  double beta1_;
  double beta2_;
  double eps_;
  double weight_decay_;
  double clip_norm_;
  bool decay_all_;
  AlignedBuffer memory_;
  TensorView m_;
  TensorView v_;
};

}  // namespace finescale
