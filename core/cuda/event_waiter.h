// SPDX-License-Identifier: Apache-2.0
// How the host waits for a GPU: for ever, unless somebody knows when that is in vain.
#pragma once

#include <functional>

#include "core/cuda/handles.h"

namespace finescale {

class EventWaiter {
 public:
  explicit EventWaiter(GpuPlace place) : place_(place) {}
  // Called every few milliseconds of a wait; may throw.
  void set_check(std::function<void()> check) { check_ = std::move(check); }
  void wait(cudaEvent_t event) const;

 private:
  GpuPlace place_;
  std::function<void()> check_;
};

}  // namespace finescale
