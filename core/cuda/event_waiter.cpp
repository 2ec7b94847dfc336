// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/event_waiter.h"

#include <chrono>
#include <thread>

namespace finescale {

namespace {

using Clock = std::chrono::steady_clock;

// A step's waits are shorter: they are answered at once, and nobody is asked.
constexpr std::chrono::milliseconds kSpin{2};
constexpr std::chrono::microseconds kPause{50};
constexpr std::chrono::milliseconds kBetweenChecks{20};

}  // namespace

void EventWaiter::wait(cudaEvent_t event) const {
  if (!check_) {
    CUDA_CHECK(place_, cudaEventSynchronize(event));
    return;
  }
  const Clock::time_point begin = Clock::now();
  Clock::time_point next_check = begin + kBetweenChecks;
  for (;;) {
    const cudaError_t code = cudaEventQuery(event);
    if (code != cudaErrorNotReady) {
      CUDA_CHECK(place_, code);
      return;
    }
    const Clock::time_point now = Clock::now();
    if (now >= next_check) {
      check_();
      next_check = now + kBetweenChecks;
    }
    if (now - begin > kSpin) {
      std::this_thread::sleep_for(kPause);
    }
  }
}

}  // namespace finescale
