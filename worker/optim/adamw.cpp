// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/adamw.h"

#include "kernels/adamw.h"

namespace finescale {

AdamW::AdamW(const config::Train& train)
    : beta1_(train.betas_size() == 2 ? train.betas(0) : 0.9),
      beta2_(train.betas_size() == 2 ? train.betas(1) : 0.999),
      eps_(train.eps()),
      weight_decay_(train.weight_decay()),
      clip_norm_(train.clip_norm()),
      decay_all_(train.decay_on() == config::DECAY_ON_ALL) {}

void AdamW::update(const Stream& stream, std::span<const UpdateRange> ranges, std::int64_t step,
                   double learning_rate, double norm) const {
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
  for (const UpdateRange& range : ranges) {
    settings.weight_decay = decay_all_ || range.is_matrix ? weight_decay_ : 0;
    if (range.packed) {
      adamw_update_packed(stream, settings, range.value, range.gradient, *range.packed);
    } else {
      adamw_update(stream, settings, range.value, range.gradient, range.m, range.v);
    }
  }
}

}  // namespace finescale
