// SPDX-License-Identifier: Apache-2.0
// Kernels on streams of the emulated machine.
#include <utility>

#include "tests/cuda_emulation/include/cuda_runtime.h"
#include "tests/cuda_emulation/runtime/machine.h"

namespace finescale::cuda::emulation {

cudaError_t enqueue_kernel(cudaStream_t stream, std::function<void()> run) {
  return enqueue(stream, {"a kernel", std::move(run)});
}

bool is_memory_of(cudaStream_t stream, const void* memory) {
  return device_of_memory(memory) == device_of(stream);
}

}  // namespace finescale::cuda::emulation
