// SPDX-License-Identifier: Apache-2.0
#include "core/clock.h"

#include <chrono>

namespace finescale {

double SystemClock::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double SystemClock::unix_now() const {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace finescale
