// SPDX-License-Identifier: Apache-2.0
// A ring of pinned memory between the host and the stream of one queue. A part of the ring is used
// again when the event behind its copy has happened. One thread calls.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "core/cuda/event_waiter.h"
#include "core/cuda/handles.h"
#include "core/cuda/launch_queue.h"

namespace finescale {

class Staging {
 public:
  // Queue and waiter must outlive it.
  Staging(GpuPlace place, LaunchQueue& queue, const EventWaiter& waiter)
      : place_(place), queue_(&queue), waiter_(&waiter) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Enqueued; `host` may be changed when it returns.
  void copy_to_device(const void* host, void* device, std::size_t size_bytes);
  // Waits for the data.
  void copy_to_host(const void* device, void* host, std::size_t size_bytes);

 private:
  struct Part {
    std::size_t begin = 0;
    std::size_t end = 0;
    CudaEvent copied;
  };

  [[nodiscard]] std::byte* reserve(std::size_t size);  // waits until the ring has room
  void enqueued(std::size_t size);                     // the copy of what reserve() gave
  void wait_for_oldest();

  GpuPlace place_;
  LaunchQueue* queue_;
  const EventWaiter* waiter_;
  PinnedMemory memory_;
  std::size_t next_ = 0;      // where the next part begins, if it fits in front of the end
  std::size_t reserved_ = 0;  // where the last part given by reserve() begins
  std::deque<Part> parts_;    // on their way, oldest first
  std::vector<CudaEvent> spare_;
};

}  // namespace finescale
