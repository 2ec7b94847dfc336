// SPDX-License-Identifier: Apache-2.0
// The only way for a .cu to reach CUDA: types, shared memory, launches. The same source is compiled
// by nvcc and, for the tests, by the host compiler on top of an emulator whose cuda_runtime.h comes
// first on the include path and defines FINESCALE_CUDA_EMULATION. Rules that keep both true: no
// `<<<` but here, no libraries, no inline assembly without a twin for the emulator.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/device.h"
#include "core/error.h"
#include "core/gpu.h"

// GPU_SHARED(float, tile, [32][33]) declares an array of the block; GPU_DYNAMIC_SHARED(float, name)
// names the bytes given to the launch. Both lie on 16 bytes and neither is initialised (the
// emulator fills them with NaN).
#ifndef FINESCALE_CUDA_EMULATION
#define GPU_SHARED(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
#define GPU_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char gpu_dynamic_bytes_[]; \
  type* name = reinterpret_cast<type*>(gpu_dynamic_bytes_)
#endif

namespace finescale::cuda {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;
inline constexpr std::size_t kOrdinarySharedBytes = 48 * 1024;  // of a block

// Enqueues on the stream; throws kDevice when the launch is refused. Faults inside the kernel show
// up at the next synchronisation, as CUDA has it.
template <class... Parameters, class... Arguments>
void gpu_launch(const Stream& stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                std::size_t shared_bytes, Arguments&&... arguments) {
#ifdef FINESCALE_CUDA_EMULATION
  const cudaError_t code = emulation::launch<Parameters...>(
      stream.native(), kernel, grid, block, shared_bytes, static_cast<Parameters>(arguments)...);
#else
  if (shared_bytes > kOrdinarySharedBytes) {  // more must be asked for
    (void)cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes));  // refused: the launch fails
  }
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream.native())>>>(
      static_cast<Parameters>(arguments)...);
  const cudaError_t code = cudaGetLastError();
#endif
  if (code != cudaSuccess) {
    const Gpu* gpu = stream.gpu();
    throw Error(ErrorKind::kDevice,
                std::string("a kernel could not be launched: ") + cudaGetErrorString(code) +
                    (gpu == nullptr ? ""
                                    : " on GPU " + std::to_string(gpu->info().index) + " of rank " +
                                          std::to_string(gpu->rank())));
  }
}

// Number of blocks of `size` that cover `count`, for a grid's x.
[[nodiscard]] inline unsigned blocks_for(std::int64_t count, std::int64_t size) {
  return static_cast<unsigned>((count + size - 1) / size);
}

}  // namespace finescale::cuda
