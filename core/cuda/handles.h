// SPDX-License-Identifier: Apache-2.0
// Owners of CUDA's handles. Streams do not wait for the legacy stream; events keep no times.
#pragma once

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_check.h"
#include "core/unique_handle.h"

namespace finescale {

struct CudaStreamTraits {
  using Handle = cudaStream_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cudaStreamDestroy(handle); }
};
using CudaStream = UniqueHandle<CudaStreamTraits>;

struct CudaEventTraits {
  using Handle = cudaEvent_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cudaEventDestroy(handle); }
};
using CudaEvent = UniqueHandle<CudaEventTraits>;

struct CudaGraphTraits {
  using Handle = cudaGraph_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cudaGraphDestroy(handle); }
};
using CudaGraph = UniqueHandle<CudaGraphTraits>;

// One that runs is freed when it has ended.
struct CudaGraphExecTraits {
  using Handle = cudaGraphExec_t;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cudaGraphExecDestroy(handle); }
};
using CudaGraphExec = UniqueHandle<CudaGraphExecTraits>;

struct PinnedTraits {
  using Handle = void*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { (void)cudaFreeHost(handle); }
};
using PinnedMemory = UniqueHandle<PinnedTraits>;

[[nodiscard]] inline CudaStream make_cuda_stream(GpuPlace place) {
  cudaStream_t stream = nullptr;
  CUDA_CHECK(place, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return CudaStream(stream);
}

[[nodiscard]] inline CudaEvent make_cuda_event(GpuPlace place) {
  cudaEvent_t event = nullptr;
  CUDA_CHECK(place, cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return CudaEvent(event);
}

[[nodiscard]] inline PinnedMemory make_pinned_memory(GpuPlace place, std::size_t size_bytes) {
  void* memory = nullptr;
  CUDA_CHECK(place, cudaMallocHost(&memory, size_bytes));
  return PinnedMemory(memory);
}

}  // namespace finescale
