// SPDX-License-Identifier: Apache-2.0
// GpuReading: pinned memory of its own and an event behind the copy. One thread calls.
#pragma once

#include <cstddef>

#include "core/cuda/event_waiter.h"
#include "core/cuda/handles.h"
#include "core/cuda/launch_queue.h"
#include "core/gpu.h"

namespace finescale {

class PinnedReading final : public GpuReading {
 public:
  // Queue and waiter must outlive it.
  PinnedReading(GpuPlace place, LaunchQueue& queue, const EventWaiter& waiter,
                std::size_t size_bytes);
  ~PinnedReading() override;
  PinnedReading(const PinnedReading&) = delete;
  PinnedReading& operator=(const PinnedReading&) = delete;

  void start(const void* device) override;
  [[nodiscard]] const void* wait() override;

 private:
  GpuPlace place_;
  LaunchQueue* queue_;
  const EventWaiter* waiter_;
  std::size_t size_bytes_;
  PinnedMemory memory_;
  CudaEvent copied_;
};

}  // namespace finescale
