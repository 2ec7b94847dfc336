// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/average.h"

#include <cmath>

namespace finescale {

bool has_average(const config::Train& train) {
  return train.average().kind_case() != config::Average::KIND_NOT_SET;
}

double part_in_average(const config::Average& average, std::int64_t step, std::int64_t num_steps) {
  switch (average.kind_case()) {
    case config::Average::kEma:
      return step == 1 ? 1 : 1 - average.ema().decay();
    case config::Average::kTail: {
      // Counted from the end, so that the last weights are always one of them.
      const std::int64_t every = average.tail().every();
      const std::int64_t left = num_steps - step;
      const auto window = static_cast<std::int64_t>(
          std::ceil(average.tail().part() * static_cast<double>(num_steps)));
      if (left < 0 || left >= window || left % every != 0) {
        return 0;
      }
      const std::int64_t before = (window - 1) / every - left / every;
      return 1.0 / static_cast<double>(before + 1);
    }
    case config::Average::KIND_NOT_SET:
      break;
  }
  return 0;
}

}  // namespace finescale
