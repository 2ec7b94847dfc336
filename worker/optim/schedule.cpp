// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace finescale {

namespace {

// Part of the decay that is done in front of update `step` (1-based): 0 at the first decayed
// update's start.
double progress(std::int64_t step, std::int64_t begin, std::int64_t end) {
  if (end <= begin) {
    return 0;
  }
  return std::clamp(static_cast<double>(step - 1 - begin) / static_cast<double>(end - begin), 0.0,
                    1.0);
}

double blend(double final_ratio, double factor) {
  return final_ratio + (1 - final_ratio) * factor;
}

}  // namespace

std::int64_t first_decay(const config::Train& train, std::int64_t num_steps) {
  const std::int64_t warmup = train.warmup().steps();
  const config::Schedule& schedule = train.schedule();
  if (schedule.has_constant()) {
    return num_steps;
  }
  if (!schedule.has_wsd()) {
    return std::min(warmup, num_steps);
  }
  const auto decayed =
      static_cast<std::int64_t>(std::ceil(schedule.wsd().decay() * static_cast<double>(num_steps)));
  return std::min(num_steps, std::max(warmup, num_steps - decayed));
}

double learning_rate_at(const config::Train& train, std::int64_t step, std::int64_t num_steps) {
  const double peak = train.learning_rate();
  const std::int64_t warmup = train.warmup().steps();
  if (step <= warmup) {
    return peak * static_cast<double>(step) / static_cast<double>(warmup);
  }
  const config::Schedule& schedule = train.schedule();
  switch (schedule.kind_case()) {
    case config::Schedule::kConstant:
      return peak;
    case config::Schedule::kLinear:
      return peak * blend(schedule.linear().final_ratio(), 1 - progress(step, warmup, num_steps));
    case config::Schedule::kCosine:
      return peak *
             blend(schedule.cosine().final_ratio(),
                   0.5 * (1 + std::cos(std::numbers::pi * progress(step, warmup, num_steps))));
    case config::Schedule::kWsd: {
      const std::int64_t begin = first_decay(train, num_steps);
      return peak *
             blend(schedule.wsd().final_ratio(), 1 - std::sqrt(progress(step, begin, num_steps)));
    }
    case config::Schedule::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a stage has no schedule: defaults were not resolved");
}

}  // namespace finescale
