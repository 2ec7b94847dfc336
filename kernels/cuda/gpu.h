// SPDX-License-Identifier: Apache-2.0
// The only way for a .cu to reach CUDA: types, shared memory, launches. The same source is compiled
// by nvcc and, for the tests, by the host compiler on top of an emulator whose cuda_runtime.h comes
// first on the include path and defines FINESCALE_CUDA_EMULATION. Rules that keep both true: no
// `<<<` but here, no libraries, no inline assembly without a twin for the emulator.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/cuda/launch_queue.h"
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

// A launch as bytes: this, and behind it the arguments, without gaps.
template <class... Parameters>
struct KernelHead {
  void (*kernel)(Parameters...);
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes;
};

// Bytes between members are zeros, so that equal arguments are equal bytes.
template <class T>
[[nodiscard]] std::byte* put_argument(std::byte* to, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
#if defined(__GNUC__) && !defined(__clang__)
  if constexpr (std::is_class_v<T>) {
    __builtin_clear_padding(&value);
  }
#endif
  std::memcpy(to, &value, sizeof value);
  return to + sizeof value;
}

template <class T>
[[nodiscard]] T take_argument(const std::byte*& from) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), std::exchange(from, from + sizeof(T)), sizeof(T));
  return std::bit_cast<T>(bytes);
}

// place: named in the error; null: it has none.
template <class... Parameters>
void launch_now(cudaStream_t stream, const GpuPlace* place, const KernelHead<Parameters...>& head,
                Parameters... arguments) {
#ifdef FINESCALE_CUDA_EMULATION
  const cudaError_t code = emulation::launch<Parameters...>(
      stream, head.kernel, head.grid, head.block, head.shared_bytes, arguments...);
#else
  const auto kernel = head.kernel;
  if (head.shared_bytes > kOrdinarySharedBytes) {  // more must be asked for
    (void)cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(head.shared_bytes));  // refused: the launch fails
  }
  kernel<<<head.grid, head.block, head.shared_bytes, stream>>>(arguments...);
  const cudaError_t code = cudaGetLastError();
#endif
  if (code != cudaSuccess) {
    throw Error(ErrorKind::kDevice,
                std::string("a kernel could not be launched: ") + cudaGetErrorString(code) +
                    (place == nullptr ? ""
                                      : " on GPU " + std::to_string(place->device) + " of rank " +
                                            std::to_string(place->rank)));
  }
}

template <class... Parameters>
void run_launch(const std::byte* bytes, const LaunchQueue::Target& target) {
  const auto head = take_argument<KernelHead<Parameters...>>(bytes);
  const std::tuple<Parameters...> arguments{take_argument<Parameters>(bytes)...};  // in order
  std::apply(
      [&](const Parameters&... each) {
        launch_now<Parameters...>(target.stream, &target.place, head, each...);
      },
      arguments);
}

// Enqueues on the stream; throws kDevice when the launch is refused, or an earlier one was. Faults
// inside the kernel show up at the next synchronisation, as CUDA has it.
template <class... Parameters, class... Arguments>
void gpu_launch(const Stream& stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                std::size_t shared_bytes, Arguments&&... arguments) {
  const KernelHead<Parameters...> head{kernel, grid, block, shared_bytes};
  if (stream.gpu() == nullptr) {  // the tests of one kernel: CUDA's own stream
    launch_now<Parameters...>(nullptr, nullptr, head, static_cast<Parameters>(arguments)...);
    return;
  }
  LaunchQueue& queue = stream.gpu()->queue();
  std::byte* to = queue.open(&run_launch<Parameters...>, (sizeof head + ... + sizeof(Parameters)));
  to = put_argument(to, head);
  ((to = put_argument(to, static_cast<Parameters>(arguments))), ...);
  queue.close(stream.observer() != nullptr);
}

// What a block may have on the calling thread's GPU, static and dynamic together.
[[nodiscard]] inline std::size_t most_shared_bytes() {
  int device = 0;
  int most = 0;
  const bool is_known =
      cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess;
  return is_known ? static_cast<std::size_t>(most) : kOrdinarySharedBytes;
}

// Number of blocks of `size` that cover `count`, for a grid's x.
[[nodiscard]] inline unsigned blocks_for(std::int64_t count, std::int64_t size) {
  return static_cast<unsigned>((count + size - 1) / size);
}

}  // namespace finescale::cuda
