// SPDX-License-Identifier: Apache-2.0
#include "core/gpu.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <map>
#include <utility>

#include "core/caching_memory.h"
#include "core/cuda/event_waiter.h"
#include "core/cuda/handles.h"
#include "core/cuda/staging.h"
#include "core/error.h"

namespace finescale {

namespace {

class CudaMemory final : public MemorySource {
 public:
  [[nodiscard]] void* take(std::size_t size_bytes) override {
    void* memory = nullptr;
    if (cudaMalloc(&memory, size_bytes) != cudaSuccess) {
      (void)cudaGetLastError();  // it is answered here
      return nullptr;
    }
    return memory;
  }
  void give_back(void* memory) noexcept override { (void)cudaFree(memory); }
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
        end(make_cuda_event(place)),
        waiter(place),
        memory(source),
        staging(place, stream.get(), waiter) {}

  GpuInfo info;
  GpuPlace place;
  CudaStream stream;
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
  (void)cudaStreamSynchronize(impl_->stream.get());
}

const GpuInfo& Gpu::info() const noexcept {
  return impl_->info;
}

int Gpu::rank() const noexcept {
  return impl_->place.rank;
}

Stream Gpu::stream(KernelObserver* observer) noexcept {
  return Stream(DeviceType::kCuda, impl_->stream.get(), observer, this);
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

void Gpu::copy_on_device(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                         std::size_t row_bytes, std::size_t rows) {
  if (row_bytes == 0 || rows == 0) {
    return;
  }
  CUDA_CHECK(impl_->place, cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, row_bytes, rows,
                                             cudaMemcpyDeviceToDevice, impl_->stream.get()));
}

void Gpu::clear(void* device, std::size_t pitch, std::size_t row_bytes, std::size_t rows) {
  if (row_bytes == 0 || rows == 0) {
    return;
  }
  CUDA_CHECK(impl_->place,
             cudaMemset2DAsync(device, pitch, 0, row_bytes, rows, impl_->stream.get()));
}

void Gpu::synchronize() {
  CUDA_CHECK(impl_->place, cudaEventRecord(impl_->end.get(), impl_->stream.get()));
  impl_->waiter.wait(impl_->end.get());
}

void Gpu::set_wait_check(std::function<void()> check) {
  impl_->waiter.set_check(std::move(check));
}

GpuLibrary& Gpu::library(std::type_index type, const MakeLibrary& make) {
  std::unique_ptr<GpuLibrary>& made = impl_->libraries[type];
  if (made == nullptr) {
    made = make();
  }
  return *made;
}

}  // namespace finescale
