// SPDX-License-Identifier: Apache-2.0
// CUDA's memory functions on the emulated machine. Copies from pageable memory are taken at the
// call, those to it wait, as CUDA does; from and to pinned memory they happen when it is their
// turn, so a buffer that is changed too soon, or read too soon, shows.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/cuda_emulation/runtime/streams.h"

using finescale::cuda::emulation::enqueue;
using finescale::cuda::emulation::Machine;
using finescale::cuda::emulation::machine;

namespace {

int this_device() {
  int device = 0;
  (void)cudaGetDevice(&device);
  return device;
}

struct Rows {
  std::size_t width;
  std::size_t height;
  [[nodiscard]] std::size_t extent(std::size_t pitch) const {
    return height == 0 ? 0 : (height - 1) * pitch + width;
  }
};

void copy_rows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
               Rows rows) {
  for (std::size_t r = 0; r < rows.height; ++r) {
    std::memcpy(static_cast<std::byte*>(to) + r * to_pitch,
                static_cast<const std::byte*>(from) + r * from_pitch, rows.width);
  }
}

Machine::Pinned* find_pinned(const void* memory, std::size_t size_bytes) {
  auto* const address = static_cast<std::byte*>(const_cast<void*>(memory));
  auto found = machine().pinned.upper_bound(address);
  if (found == machine().pinned.begin()) {
    return nullptr;
  }
  --found;
  const bool inside = address + size_bytes <= found->first + found->second.size_bytes;
  return inside ? &found->second : nullptr;
}

// The host's side of a copy: memory that is pinned until the copy has happened.
void hold(Machine::Pinned* pinned, int change) {
  if (pinned != nullptr) {
    pinned->num_in_use += change;
  }
}

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t size_bytes) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return code;
  }
  if (!machine().settings.has_driver) {
    return cudaErrorInsufficientDriver;
  }
  *memory = machine().memory.allocate(this_device(), size_bytes);
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  std::unique_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return code;
  }
  if (memory == nullptr) {
    return cudaSuccess;
  }
  const int device = machine().memory.find(memory, 1);
  if (device < 0) {
    return cudaErrorInvalidValue;
  }
  machine().wait(lock, "cudaFree", [device] { return machine().is_idle(device); });
  return machine().memory.release(memory) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMallocHost(void** memory, std::size_t size_bytes) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return code;
  }
  *memory = std::malloc(size_bytes);  // NOLINT: a C function's
  std::memset(*memory, 0xFF, size_bytes);
  machine().pinned.emplace(static_cast<std::byte*>(*memory), Machine::Pinned{size_bytes, 0});
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const std::scoped_lock lock(machine().mutex);
  if (const cudaError_t code = machine().refuse_while_capturing(); code != cudaSuccess) {
    return code;
  }
  const auto found = machine().pinned.find(static_cast<std::byte*>(memory));
  if (found == machine().pinned.end()) {
    return cudaErrorInvalidValue;
  }
  if (found->second.num_in_use != 0) {
    std::fprintf(stderr, "emulated machine: pinned memory is freed under a copy\n");
    std::abort();
  }
  machine().pinned.erase(found);
  std::free(memory);  // NOLINT: as above
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::scoped_lock lock(machine().mutex);
  *free = machine().memory.free_bytes(this_device());
  *total = machine().settings.memory_bytes;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const std::scoped_lock lock(machine().mutex);
  const int device = machine().memory.find(memory, 1);
  *attributes = {};
  attributes->device = device;
  attributes->type = device >= 0                         ? cudaMemoryTypeDevice
                     : find_pinned(memory, 1) != nullptr ? cudaMemoryTypeHost
                                                         : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, size_bytes, from, size_bytes, size_bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  std::unique_lock lock(machine().mutex);
  const Rows rows{width, height};
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const auto lies = [&](const void* memory, std::size_t pitch) {
    return machine().memory.find(memory, rows.extent(pitch)) >= 0;
  };
  if (lies(from, from_pitch) != from_device || lies(to, to_pitch) != to_device ||
      width > to_pitch || width > from_pitch) {
    return cudaErrorInvalidValue;
  }
  if (from_device && to_device) {
    return enqueue(stream,
                   {"a copy on the GPU", [=] { copy_rows(to, to_pitch, from, from_pitch, rows); }});
  }
  // CUDA takes pinned memory into a graph; the project does not want it there.
  if (const cudaError_t code = machine().refuse_in_capture_of(stream); code != cudaSuccess) {
    return code;
  }
  const void* host = from_device ? to : from;
  Machine::Pinned* pinned = find_pinned(host, rows.extent(from_device ? to_pitch : from_pitch));
  if (pinned == nullptr && to_device) {
    auto taken = std::make_shared<std::vector<std::byte>>(rows.width * rows.height);
    copy_rows(taken->data(), rows.width, from, from_pitch, rows);
    return enqueue(stream, {"a copy from pageable memory",
                            [=] { copy_rows(to, to_pitch, taken->data(), rows.width, rows); }});
  }
  hold(pinned, 1);
  const cudaError_t code =
      enqueue(stream, {to_device ? "a copy to the GPU" : "a copy to the host", [=] {
                         copy_rows(to, to_pitch, from, from_pitch, rows);
                         hold(pinned, -1);
                       }});
  if (code == cudaSuccess && pinned == nullptr) {
    machine().wait(lock, "a copy to pageable memory", [stream] { return stream->work.empty(); });
  }
  return code;
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  const std::scoped_lock lock(machine().mutex);
  const Rows rows{width, height};
  if (machine().memory.find(to, rows.extent(pitch)) < 0 || width > pitch) {
    return cudaErrorInvalidValue;
  }
  return enqueue(stream, {"a fill", [=] {
                            for (std::size_t r = 0; r < rows.height; ++r) {
                              std::memset(static_cast<std::byte*>(to) + r * pitch, value, width);
                            }
                          }});
}
