// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/update_rule.h"

namespace finescale {

UpdateRule::Factors UpdateRule::factors_of(const UpdateRange& range, const UpdateStep& step) const {
  Factors factors;
  factors.step = step.step;
  if (clip_norm_ > 0 && step.norm > clip_norm_) {
    factors.gradient_scale = clip_norm_ / step.norm;
  }
  factors.learning_rate = step.learning_rate * range.rate;
  factors.weight_decay = decay_all_ || range.is_matrix ? weight_decay_ : 0;
  return factors;
}

void UpdateRule::update(const Stream& stream, std::span<const UpdateRange> ranges,
                        const UpdateStep& step) const {
  for (const UpdateRange& range : ranges) {
    update_range(stream, range, factors_of(range, step));
  }
}

void UpdateRule::gather(const Stream& stream, const UpdateRange& range,
                        const UpdateStep& step) const {
  gather_range(stream, range, factors_of(range, step));
}

void UpdateRule::apply(const Stream& stream, const UpdateRange& range,
                       const UpdateStep& step) const {
  apply_range(stream, range, factors_of(range, step));
}

}  // namespace finescale
