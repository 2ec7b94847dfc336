// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/update_rule.h"

#include "core/error.h"

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
  if (stream.on_gpu()) {
    rows_.clear();
    for (const UpdateRange& range : ranges) {
      rows_.push_back(step_factors(range, factors_of(range, step)));
    }
    table_.write(stream, ranges.empty() ? DType::kF32 : ranges.front().value.dtype, rows_);
    table_.clip(stream, step.norm_in_memory, clip_norm_);
  }
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    Factors factors = factors_of(ranges[i], step);
    factors.in_memory = stream.on_gpu() ? table_.row(i) : nullptr;
    update_range(stream, ranges[i], factors);
  }
}

StepFactors<double> UpdateRule::step_factors(const UpdateRange& /*range*/,
                                             const Factors& /*factors*/) const {
  throw Error(ErrorKind::kInternal, "an update rule without kernels for a GPU");
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
