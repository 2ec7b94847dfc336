// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/adamw.h"

#include <cmath>

#include "kernels/adamw.h"
#include "kernels/reduce.h"

namespace finescale {

AdamW::AdamW(const config::Train& train, const ParameterSet& parameters)
    : beta1_(train.betas_size() == 2 ? train.betas(0) : 0.9),
      beta2_(train.betas_size() == 2 ? train.betas(1) : 0.999),
      eps_(train.eps()),
      weight_decay_(train.weight_decay()),
      clip_norm_(train.clip_norm()),
      decay_all_(train.decay_on() == config::DECAY_ON_ALL) {
  const std::size_t size = parameters.flat().size_bytes();
  memory_ = AlignedBuffer(2 * size);
  m_ = TensorView(memory_.data(), parameters.dtype(), Shape{parameters.num_elements()});
  v_ = TensorView(static_cast<std::byte*>(memory_.data()) + size, parameters.dtype(),
                  Shape{parameters.num_elements()});
}

double AdamW::update(const Stream& stream, ParameterSet& parameters, const TensorView& gradient,
                     std::int64_t step, double learning_rate) {
  const double norm = std::sqrt(squared_norm(stream, gradient));
  if (!std::isfinite(norm)) {
    return norm;
  }
  AdamwStep settings{.learning_rate = learning_rate,
                     .beta1 = beta1_,
                     .beta2 = beta2_,
                     .eps = eps_,
                     .weight_decay = 0,
                     .step = step,
                     .gradient_scale = 1};
  if (clip_norm_ > 0 && norm > clip_norm_) {
    settings.gradient_scale = clip_norm_ / norm;
  }
  if (weight_decay_ == 0 || decay_all_) {
    settings.weight_decay = weight_decay_;
    adamw_update(stream, settings, parameters.flat(), gradient, m_, v_);
    return norm;
  }
  for (int index = 0; index < parameters.size(); ++index) {
    settings.weight_decay = parameters.tensor(index).shape.rank > 1 ? weight_decay_ : 0;
    adamw_update(stream, settings, parameters.view(index), parameters.view_in(gradient, index),
                 parameters.view_in(m_, index), parameters.view_in(v_, index));
  }
  return norm;
}

}  // namespace finescale
