// SPDX-License-Identifier: Apache-2.0
// Stands in for CUDA's header when a .cu is compiled by the host compiler: the same source, one
// fiber per CUDA thread. Comes first on the include path of the emulation tests and of nothing
// else. Shared memory is fresh heap for each array and block, filled with NaN, so that a sanitizer
// sees overruns and a missing write shows.
#pragma once

#include <math.h>  // NOLINT(modernize-deprecated-headers): overloads in the global namespace

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>

#include "tests/cuda_emulation/include/cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
// Vectors move as one access, as on the device (and so in what a sanitizer is told).
struct alignas(8) uint2 {
  unsigned x = 0, y = 0;
  uint2() = default;
  __forceinline__ uint2(const uint2& other) {
    *this = other;
  }                                                       // NOLINT(bugprone-copy-constructor-init)
  __forceinline__ uint2& operator=(const uint2& other) {  // NOLINT: one access, also to itself
    using Whole __attribute__((may_alias)) = std::uint64_t;
    *reinterpret_cast<Whole*>(this) = *reinterpret_cast<const Whole*>(&other);
    return *this;
  }
};
struct alignas(16) uint4 {
  unsigned x = 0, y = 0, z = 0, w = 0;
  uint4() = default;
  __forceinline__ uint4(const uint4& other) {
    *this = other;
  }                                                       // NOLINT(bugprone-copy-constructor-init)
  __forceinline__ uint4& operator=(const uint4& other) {  // NOLINT: one access, also to itself
    using Whole __attribute__((vector_size(16), may_alias)) = unsigned;
    *reinterpret_cast<Whole*>(this) = *reinterpret_cast<const Whole*>(&other);
    return *this;
  }
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1)  // NOLINT: as CUDA's
      : x(width), y(height), z(depth) {}
};

// The thread whose turn it is.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

namespace finescale::cuda::emulation {

enum class Order { kForward, kReverse, kRandom };
// How the blocks of a grid follow each other, and how the threads of a block take turns between two
// meetings; of the whole process.
void set_order(Order order, unsigned long long seed = 1);

// A kernel with its arguments; refers to what outlives the launch.
struct Kernel {
  void (*run)(const void*);
  const void* self;
  const void* function;  // that was launched
};
// Runs the blocks one after another, in the chosen order. Throws std::runtime_error, naming source
// lines, when a barrier or a warp operation is not reached by all who must reach it; and when the
// grid, the block or its shared memory is more than a GPU has.
void run_blocks(dim3 grid, dim3 block, std::size_t shared_bytes, Kernel kernel);
template <class... Parameters>
void run_grid(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
              Parameters... arguments) {
  const auto run = [&] { kernel(arguments...); };
  run_blocks(grid, block, shared_bytes,
             {[](const void* self) { (*static_cast<decltype(&run)>(self))(); }, &run,
              reinterpret_cast<const void*>(kernel)});
}

// Puts a kernel on a stream of the emulated machine; it must be given memory of the stream's GPU.
[[nodiscard]] cudaError_t enqueue_kernel(cudaStream_t stream, std::function<void()> run);
[[nodiscard]] bool is_memory_of(cudaStream_t stream, const void* memory);

template <class T>
bool may_be_given(cudaStream_t stream, T argument) {
  if constexpr (std::is_pointer_v<T>) {
    return argument == nullptr || is_memory_of(stream, argument);
  } else {
    return true;
  }
}

// With a null stream it runs at once, on any memory: tests of one kernel need no machine.
template <class... Parameters>
cudaError_t launch(void* native, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   std::size_t shared_bytes, Parameters... arguments) {
  if (native == nullptr) {
    run_grid(kernel, grid, block, shared_bytes, arguments...);
    return cudaSuccess;
  }
  const auto stream = static_cast<cudaStream_t>(native);
  if (!(may_be_given(stream, arguments) && ...)) {
    return cudaErrorIllegalAddress;
  }
  return enqueue_kernel(stream, [=] { run_grid(kernel, grid, block, shared_bytes, arguments...); });
}

void barrier(const char* file, int line);
// Meets the other lanes of `mask` and returns what lane `from` brought; size_bytes up to 16.
void exchange(unsigned mask, const void* mine, void* theirs, std::size_t size_bytes, unsigned from,
              const char* file, int line);
// Meets all lanes of the warp.
void meet_warp(const char* file, int line);
// The same, and theirs[l] receives what lane l brought.
using Brought = std::array<std::byte, 16>;
void exchange_all(unsigned mask, const void* mine, std::size_t size_bytes,
                  std::array<Brought, 32>& theirs, const char* file, int line);
// The block's array of this declaration.
void* shared_array(const char* file, int line, std::size_t size_bytes);
void* dynamic_shared();
unsigned lane();

template <class T>
T shuffle(unsigned mask, T value, unsigned from, const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  T theirs;
  exchange(mask, &value, &theirs, sizeof(T), from, file, line);
  return theirs;
}

// Of the lanes of a mask.
inline unsigned ballot(unsigned mask, bool mine, const char* file, int line) {
  std::array<Brought, 32> all{};
  exchange_all(mask, &mine, sizeof(mine), all, file, line);
  unsigned votes = 0;
  for (unsigned l = 0; l < all.size(); ++l) {
    votes |= static_cast<unsigned>(all[l][0] != std::byte{0}) << l;
  }
  return votes & mask;
}
inline unsigned largest(unsigned mask, unsigned mine, const char* file, int line) {
  std::array<Brought, 32> all{};
  exchange_all(mask, &mine, sizeof(mine), all, file, line);
  unsigned found = 0;
  for (unsigned l = 0; l < all.size(); ++l) {
    unsigned theirs;
    std::memcpy(&theirs, all[l].data(), sizeof(theirs));
    found = (mask >> l & 1U) != 0 && theirs > found ? theirs : found;
  }
  return found;
}

}  // namespace finescale::cuda::emulation

inline int __ffs(unsigned bits) {
  return __builtin_ffs(static_cast<int>(bits));
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Kernels are compiled without fused products and sums that the source does not ask for.
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}

#include "tests/cuda_emulation/include/tensor_cores.h"

#define __syncwarp() ::finescale::cuda::emulation::meet_warp(__FILE__, __LINE__)
#define __syncthreads() ::finescale::cuda::emulation::barrier(__FILE__, __LINE__)
#define __shfl_sync(mask, value, source) \
  ::finescale::cuda::emulation::shuffle((mask), (value), (source), __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, distance)                                                 \
  ::finescale::cuda::emulation::shuffle(                                                       \
      (mask), (value), ::finescale::cuda::emulation::lane() ^ static_cast<unsigned>(distance), \
      __FILE__, __LINE__)

// Kernels call these two with all lanes; of others the emulator knows nothing.
#define __ballot_sync(mask, predicate) \
  ::finescale::cuda::emulation::ballot((mask), (predicate), __FILE__, __LINE__)
#define __reduce_max_sync(mask, value) \
  ::finescale::cuda::emulation::largest((mask), (value), __FILE__, __LINE__)

#define GPU_SHARED(type, name, ...)                   \
  typedef type name##_array_ __VA_ARGS__;             \
  name##_array_& name = *static_cast<name##_array_*>( \
      ::finescale::cuda::emulation::shared_array(__FILE__, __LINE__, sizeof(name##_array_)))
#define GPU_DYNAMIC_SHARED(type, name) \
  type* name = static_cast<type*>(::finescale::cuda::emulation::dynamic_shared())
