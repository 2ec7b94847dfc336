// SPDX-License-Identifier: Apache-2.0
#include "core/gpu.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>
#include <utility>

#include "core/caching_memory.h"
#include "core/cuda/event_waiter.h"
#include "core/cuda/handles.h"
#include "core/cuda/launch_queue.h"
#include "core/cuda/reading.h"
#include "core/cuda/staging.h"
#include "core/error.h"

namespace finescale {

namespace {

class CudaMemory final : public MemorySource {
 public:
  explicit CudaMemory(LaunchQueue& queue) : queue_(&queue) {}

  [[nodiscard]] void* take(std::size_t size_bytes) override {
    void* memory = allocated(size_bytes);
    if (memory == nullptr) {
      queue_->forget_graphs();  // they lie in the GPU's memory, too
      memory = allocated(size_bytes);
    }
    return memory;
  }
  void give_back(void* memory) noexcept override {
    queue_->flush_quietly();  // what was enqueued may use it; cudaFree waits for that
    (void)cudaFree(memory);
  }

 private:
  // Null when there is no more.
  [[nodiscard]] static void* allocated(std::size_t size_bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, size_bytes) != cudaSuccess) {
      (void)cudaGetLastError();  // it is answered here
      return nullptr;
    }
    return memory;
  }

  LaunchQueue* queue_;
};

const char* name_of(MemoryPurpose purpose) {
  switch (purpose) {
    case MemoryPurpose::kWeights:
      return "weights";
    case MemoryPurpose::kGradients:
      return "gradients";
    case MemoryPurpose::kOptimizer:
      return "the optimizer's moments";
    case MemoryPurpose::kActivations:
      return "activations";
    case MemoryPurpose::kScratch:
      return "a kernel's scratch";
  }
  return "";
}

// The lever that takes least away for what is wanted.
const char* lever_for(MemoryPurpose purpose) {
  switch (purpose) {
    case MemoryPurpose::kWeights:
      return "cut the model over more ranks (mesh.tensor, mesh.pipeline, or mesh.shard with "
             "mesh.zero: 3), or start from a smaller one";
    case MemoryPurpose::kGradients:
      return "cut gradients over more ranks (mesh.shard with mesh.zero: 2), or train adapters "
             "(method: lora)";
    case MemoryPurpose::kOptimizer:
      return "use train.optimizer_state: int8, cut moments over more ranks (mesh.shard), or train "
             "adapters (method: lora)";
    case MemoryPurpose::kActivations:
    case MemoryPurpose::kScratch:
      return "lower train.micro_batch_tokens, or make activations again (mesh.recompute: full)";
  }
  return "";
}

std::string mebibytes(std::size_t size_bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB",
                static_cast<double>(size_bytes) / (std::size_t{1} << 20));
  return text;
}

GpuInfo usable_gpu(int index) {
  const GpuSurvey survey = survey_gpus();
  if (!survey.usable()) {
    throw Error(ErrorKind::kDevice, "no GPU can be used: " + survey.why_none, {}, survey.hint);
  }
  if (index < 0 || std::cmp_greater_equal(index, survey.gpus.size())) {
    throw Error(ErrorKind::kDevice,
                "there is no GPU " + std::to_string(index) + ": the driver shows " +
                    std::to_string(survey.gpus.size()),
                {}, "start no more ranks on a host than it has GPUs");
  }
  const GpuInfo& info = survey.gpus[static_cast<std::size_t>(index)];
  if (!info.why_not.empty()) {
    throw Error(
        ErrorKind::kDevice,
        "GPU " + std::to_string(index) + " (" + info.name + ") cannot be used: " + info.why_not, {},
        "build with -DFINESCALE_CUDA_ARCHS=" + std::to_string(info.major) +
            std::to_string(info.minor));
  }
  return info;
}

bool wants_graphs() {
  const char* given = std::getenv("FINESCALE_GPU_GRAPHS");
  const std::string_view word = given == nullptr || *given == '\0' ? "on" : given;
  if (word != "on" && word != "off") {
    throw Error(ErrorKind::kConfig, "FINESCALE_GPU_GRAPHS is \"" + std::string(word) + "\"", {},
                "use on or off");
  }
  return word == "on";
}

// Rows of bytes on the device; pitches from row to row.
struct DeviceCopy {
  void* to;
  std::size_t to_pitch;
  const void* from;
  std::size_t from_pitch;
  std::size_t row_bytes;
  std::size_t rows;
};

void run_copy(const DeviceCopy& copy, const LaunchQueue::Target& target) {
  CUDA_CHECK(target.place,
             cudaMemcpy2DAsync(copy.to, copy.to_pitch, copy.from, copy.from_pitch, copy.row_bytes,
                               copy.rows, cudaMemcpyDeviceToDevice, target.stream));
}

struct DeviceFill {
  void* to;
  std::size_t pitch;
  std::size_t row_bytes;
  std::size_t rows;
};

void run_fill(const DeviceFill& fill, const LaunchQueue::Target& target) {
  CUDA_CHECK(target.place,
             cudaMemset2DAsync(fill.to, fill.pitch, 0, fill.row_bytes, fill.rows, target.stream));
}

CudaStream stream_on(GpuPlace place) {
  CUDA_CHECK(place, cudaSetDevice(place.device));
  return make_cuda_stream(place);
}

}  // namespace

struct Gpu::Impl {
  Impl(int index, int rank)
      : info(usable_gpu(index)),
        place{index, rank},
        stream(stream_on(place)),
        queue(place, stream.get(), wants_graphs()),
        end(make_cuda_event(place)),
        waiter(place),
        source(queue),
        memory(source),
        staging(place, queue, waiter) {}

  GpuInfo info;
  GpuPlace place;
  CudaStream stream;
  LaunchQueue queue;
  CudaEvent end;  // of what is waited for
  EventWaiter waiter;
  CudaMemory source;
  CachingMemory memory;
  Staging staging;
  std::map<std::type_index, std::unique_ptr<GpuLibrary>> libraries;  // end first
};

Gpu::Gpu(int index, int rank) : impl_(std::make_unique<Impl>(index, rank)) {}

Gpu::~Gpu() {
  (void)cudaSetDevice(impl_->place.device);  // perhaps another thread's end
  impl_->queue.flush_quietly();
  (void)cudaStreamSynchronize(impl_->stream.get());
}

const GpuInfo& Gpu::info() const noexcept {
  return impl_->info;
}

int Gpu::rank() const noexcept {
  return impl_->place.rank;
}

Stream Gpu::stream(KernelObserver* observer) noexcept {
  return Stream(DeviceType::kCuda, observer, this);
}

void* Gpu::allocate(std::size_t size_bytes, MemoryPurpose purpose) {
  if (void* memory = impl_->memory.allocate(size_bytes); memory != nullptr) {
    return memory;
  }
  const GpuMemory figures = memory();
  throw Error(ErrorKind::kDevice,
              "GPU " + std::to_string(impl_->place.device) + " of rank " +
                  std::to_string(impl_->place.rank) + " has no " + mebibytes(size_bytes) + " for " +
                  name_of(purpose) + ": this rank uses " + mebibytes(figures.in_use) +
                  " (at most " + mebibytes(figures.peak) + ") and keeps " +
                  mebibytes(figures.held - figures.in_use) + " for later, " +
                  mebibytes(figures.free) + " of " + mebibytes(figures.total) + " are free",
              {}, lever_for(purpose));
}

void Gpu::release(void* memory) noexcept {
  impl_->memory.release(memory);
}

bool Gpu::holds(const void* memory) const {
  return impl_->memory.contains(memory);
}

GpuMemory Gpu::memory() const {
  GpuMemory figures;
  figures.in_use = impl_->memory.in_use();
  figures.peak = impl_->memory.peak();
  figures.held = impl_->memory.held();
  figures.num_system_allocations = impl_->memory.num_taken();
  CUDA_CHECK(impl_->place, cudaMemGetInfo(&figures.free, &figures.total));
  return figures;
}

void Gpu::copy_to_device(const void* host, void* device, std::size_t size_bytes) {
  impl_->staging.copy_to_device(host, device, size_bytes);
}

void Gpu::copy_to_host(const void* device, void* host, std::size_t size_bytes) {
  impl_->staging.copy_to_host(device, host, size_bytes);
}

std::unique_ptr<GpuReading> Gpu::make_reading(std::size_t size_bytes) {
  return std::make_unique<PinnedReading>(impl_->place, impl_->queue, impl_->waiter, size_bytes);
}

void Gpu::copy_on_device(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                         std::size_t row_bytes, std::size_t rows) {
  if (row_bytes == 0 || rows == 0) {
    return;
  }
  impl_->queue.add<DeviceCopy, &run_copy>({to, to_pitch, from, from_pitch, row_bytes, rows});
}

void Gpu::clear(void* device, std::size_t pitch, std::size_t row_bytes, std::size_t rows) {
  if (row_bytes == 0 || rows == 0) {
    return;
  }
  impl_->queue.add<DeviceFill, &run_fill>({device, pitch, row_bytes, rows});
}

void Gpu::flush() {
  (void)impl_->queue.flushed();
}

void Gpu::synchronize() {
  CUDA_CHECK(impl_->place, cudaEventRecord(impl_->end.get(), impl_->queue.flushed()));
  impl_->waiter.wait(impl_->end.get());
}

void Gpu::set_wait_check(std::function<void()> check) {
  impl_->waiter.set_check(std::move(check));
}

void* Gpu::native_stream() {
  return impl_->queue.flushed();
}

LaunchQueue& Gpu::queue() {
  return impl_->queue;
}

GpuGraphs Gpu::graphs() const {
  return impl_->queue.figures();
}

GpuLibrary& Gpu::library(std::type_index type, const MakeLibrary& make) {
  std::unique_ptr<GpuLibrary>& made = impl_->libraries[type];
  if (made == nullptr) {
    made = make();
  }
  return *made;
}

}  // namespace finescale
