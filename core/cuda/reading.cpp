// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/reading.h"

namespace finescale {

PinnedReading::PinnedReading(GpuPlace place, LaunchQueue& queue, const EventWaiter& waiter,
                             std::size_t size_bytes)
    : place_(place),
      queue_(&queue),
      waiter_(&waiter),
      size_bytes_(size_bytes),
      memory_(make_pinned_memory(place, size_bytes)),
      copied_(make_cuda_event(place)) {}

PinnedReading::~PinnedReading() {
  (void)cudaEventSynchronize(copied_.get());
}

void PinnedReading::start(const void* device) {
  cudaStream_t stream = queue_->flushed();  // in whose order copies write the same memory
  CUDA_CHECK(place_,
             cudaMemcpyAsync(memory_.get(), device, size_bytes_, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(place_, cudaEventRecord(copied_.get(), stream));
}

const void* PinnedReading::wait() {
  waiter_->wait(copied_.get());
  return memory_.get();
}

}  // namespace finescale
