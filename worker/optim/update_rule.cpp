// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/update_rule.h"

namespace finescale {

void UpdateRule::update(const Stream& stream, std::span<const UpdateRange> ranges,
                        const UpdateStep& step) const {
  Factors factors;
  factors.step = step.step;
  if (clip_norm_ > 0 && step.norm > clip_norm_) {
    factors.gradient_scale = clip_norm_ / step.norm;
  }
  for (const UpdateRange& range : ranges) {
    factors.learning_rate = step.learning_rate * range.rate;
    factors.weight_decay = decay_all_ || range.is_matrix ? weight_decay_ : 0;
    update_range(stream, range, factors);
  }
}

}  // namespace finescale
