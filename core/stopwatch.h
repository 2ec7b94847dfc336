// SPDX-License-Identifier: Apache-2.0
// Time that passes on this machine, for rates and limits; what decides by time is given a Clock.
#pragma once

#include <chrono>

namespace finescale {

class Stopwatch {
 public:
  // Since it was made or restarted.
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Steady::now() - begin_).count();
  }
  void restart() { begin_ = Steady::now(); }

 private:
  using Steady = std::chrono::steady_clock;
  Steady::time_point begin_ = Steady::now();
};

}  // namespace finescale
