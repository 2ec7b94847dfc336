// SPDX-License-Identifier: Apache-2.0
// One NVIDIA GPU and what this rank does with it: its stream, its memory, copies to and from the
// host, the handles of libraries. No CUDA header is needed to use it; a build without CUDA has the
// same interface, and opening says why there is none. One thread of the rank calls, the one that
// opened it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <typeindex>
#include <vector>

#include "core/device.h"

namespace finescale {

struct GpuInfo {
  int index = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  std::size_t memory_bytes = 0;
  bool has_nvlink = false;  // to every other GPU that this process sees
  std::string why_not;      // this build cannot use it; empty: it can
};

struct GpuSurvey {
  std::vector<GpuInfo> gpus;
  std::string why_none;  // empty when one of them can be used
  std::string hint;      // what to do about it
  [[nodiscard]] bool usable() const noexcept { return why_none.empty(); }
};

// Looks without taking anything. Never throws.
[[nodiscard]] GpuSurvey survey_gpus() noexcept;

// What memory is for decides what the user is told when there is too little.
enum class MemoryPurpose { kWeights, kGradients, kOptimizer, kActivations, kScratch };

struct GpuMemory {
  std::size_t in_use = 0;  // handed out
  std::size_t peak = 0;    // the most that was
  std::size_t held = 0;    // taken from the device: in use, or kept for the next allocation
  std::size_t free = 0;    // what the device has left for everyone
  std::size_t total = 0;
  std::int64_t num_system_allocations = 0;  // constant in the steady state
};

// What became of the operations (kernels, copies on the device, fills, products) that were
// enqueued: a segment of them that comes again is launched as one CUDA graph.
struct GpuGraphs {
  bool are_on = false;
  std::string failure;                   // why they are off, when the driver refused one
  std::int64_t operations = 0;           // all
  std::int64_t replayed_operations = 0;  // of those, in graphs that were there
  std::int64_t bypassed_operations = 0;  // of those, nobody looked for a graph of
  std::int64_t segments = 0;             // looked for
  std::int64_t replayed = 0;             // of those: the graph was there
  std::int64_t captured = 0;             // of those: made into one
  std::int64_t held = 0;                 // graphs that are kept
};

// What a library keeps for one GPU: handles, plans, workspaces.
class GpuLibrary {
 public:
  virtual ~GpuLibrary() = default;
  GpuLibrary(const GpuLibrary&) = delete;
  GpuLibrary& operator=(const GpuLibrary&) = delete;

 protected:
  GpuLibrary() = default;
};

// A few bytes of a GPU's memory on their way to the host, which goes on meanwhile.
class GpuReading {
 public:
  virtual ~GpuReading() = default;
  GpuReading(const GpuReading&) = delete;
  GpuReading& operator=(const GpuReading&) = delete;
  // Enqueued. What was read before is no more.
  virtual void start(const void* device) = 0;
  // The bytes of the last start(): waits for what was enqueued in front of it, not for what came
  // behind. Throws kDevice.
  [[nodiscard]] virtual const void* wait() = 0;

 protected:
  GpuReading() = default;
};

class LaunchQueue;

class Gpu {
 public:
  // Takes the GPU and makes it the calling thread's. `rank` is named in errors. Throws kDevice when
  // there is no driver, no such GPU, or this build has no code for it; kConfig when
  // FINESCALE_GPU_GRAPHS is neither on nor off.
  Gpu(int index, int rank);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  [[nodiscard]] const GpuInfo& info() const noexcept;
  [[nodiscard]] int rank() const noexcept;
  // Its one stream of kernels. What is called "enqueued" below runs in the order of the calls; a
  // launch that the driver refuses may be told of by a later call.
  [[nodiscard]] Stream stream(KernelObserver* observer = nullptr) noexcept;

  // At least 256-byte aligned, uninitialised. What was released is handed out again at once:
  // whatever uses it is enqueued behind what used it before. Other streams must have been ordered
  // by events before memory that they use is released. Throws kDevice.
  [[nodiscard]] void* allocate(std::size_t size_bytes, MemoryPurpose purpose);
  void release(void* memory) noexcept;
  // Whether the address lies in memory of allocate().
  [[nodiscard]] bool holds(const void* memory) const;
  [[nodiscard]] GpuMemory memory() const;

  // Through pinned memory. Enqueued; `host` may be changed as soon as the call returns.
  void copy_to_device(const void* host, void* device, std::size_t size_bytes);
  // Waits until the data is there.
  void copy_to_host(const void* device, void* host, std::size_t size_bytes);
  // For always the same number of bytes; must end before the Gpu does.
  [[nodiscard]] std::unique_ptr<GpuReading> make_reading(std::size_t size_bytes);
  // Enqueued: `rows` runs of row_bytes, `pitch` bytes apart.
  void copy_on_device(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                      std::size_t row_bytes, std::size_t rows);
  void clear(void* device, std::size_t pitch, std::size_t row_bytes, std::size_t rows);
  // What was enqueued begins; for a host that goes on to something else than enqueueing more. Every
  // copy from or to the host does the same. Throws kDevice.
  void flush();
  // Until everything enqueued is done. Faults of kernels show up here. Throws kDevice.
  void synchronize();
  // Called now and then while the host waits for the GPU, which may wait for another rank: throws
  // when that will never come. Null: nobody asks.
  void set_wait_check(std::function<void()> check);

  // cudaStream_t, with everything enqueued given to it: for events and other streams. Ask again
  // for each use. Throws kDevice.
  [[nodiscard]] void* native_stream();
  // Where kernels and products are enqueued.
  [[nodiscard]] LaunchQueue& queue();
  [[nodiscard]] GpuGraphs graphs() const;

  // The library's object for this GPU, made by its first user; it ends before the stream does.
  template <class T>
  [[nodiscard]] T& library() {
    return static_cast<T&>(library(
        typeid(T), [this]() -> std::unique_ptr<GpuLibrary> { return std::make_unique<T>(*this); }));
  }

 private:
  using MakeLibrary = std::function<std::unique_ptr<GpuLibrary>()>;
  [[nodiscard]] GpuLibrary& library(std::type_index type, const MakeLibrary& make);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Memory for one operation: enqueue what uses it within the scope.
class GpuScratch {
 public:
  GpuScratch(Gpu& gpu, std::size_t size_bytes)
      : gpu_(&gpu),
        data_(size_bytes == 0 ? nullptr : gpu.allocate(size_bytes, MemoryPurpose::kScratch)) {}
  ~GpuScratch() {
    if (data_ != nullptr) {
      gpu_->release(data_);
    }
  }
  GpuScratch(const GpuScratch&) = delete;
  GpuScratch& operator=(const GpuScratch&) = delete;
  [[nodiscard]] void* data() const noexcept { return data_; }

 private:
  Gpu* gpu_;
  void* data_;
};

}  // namespace finescale
