// SPDX-License-Identifier: Apache-2.0
// The emulated machine: GPUs with memory of their own and streams whose work runs late, in an order
// that only streams, events and synchronisation fix; what else it is comes from a seed. Memory of
// the GPUs cannot be touched while host code runs (a fault names the address), begins as NaN, and
// has marks around every allocation. Threads of a process are its ranks; GPUs work on whatever
// thread waits for them.
#pragma once

#ifdef FINESCALE_ON_GPU
#include "tests/gpu/real_machine.h"
#else

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tests/cuda_emulation/include/cuda_runtime_api.h"

namespace finescale::cuda::emulation {

// When work runs that nobody waits for.
enum class Pace {
  kLate,   // never: only what a wait needs, and what is in front of it
  kEager,  // at once
  kRandom  // some of it, at every call
};

// What the driver refuses of CUDA graphs.
enum class GraphRefusal { kNothing, kBegin, kRecording, kEnd, kInstantiation, kLaunch };

struct MachineSettings {
  int devices = 1;
  bool has_driver = true;
  int driver_version = 13000;
  int major = 8;
  int minor = 0;
  bool has_nvlink = false;                            // between all of them
  std::size_t memory_bytes = std::size_t{256} << 20;  // of each GPU
  Pace pace = Pace::kLate;
  std::uint64_t seed = 1;
  GraphRefusal refuses = GraphRefusal::kNothing;
};

// Nothing of the last machine may be in use any more; throws when streams, events or memory were
// left behind, or a mark was written over.
void start_machine(const MachineSettings& settings);
// The next wait for this GPU fails with the code, and everything after it.
void break_device(int device, cudaError_t code);

// Forgets all work that has not run: the end of a test of what never ends.
void drop_work();

// For the emulated libraries.
struct Work {
  std::string name;
  std::function<void()> run;          // the GPUs' memory may be touched; in a graph often
  std::function<bool()> may_begin{};  // empty: as soon as it is its turn
};
// Enqueues, or records while the stream is captured; a null stream is an invalid handle.
[[nodiscard]] cudaError_t enqueue(cudaStream_t stream, Work work);
[[nodiscard]] int device_of(cudaStream_t stream);
// Whether [memory, memory + size_bytes) lies in one allocation of a GPU; -1, or which.
[[nodiscard]] int device_of_memory(const void* memory, std::size_t size_bytes = 1);
// Until `done`, which GPUs or other threads bring about. Throws when nothing moves for long.
void wait_until(const char* what, const std::function<bool()>& done);
// One thread at a time is inside the machine; this runs as if on it.
void inside(const std::function<void()>& run);

}  // namespace finescale::cuda::emulation

#endif
