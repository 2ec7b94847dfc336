// SPDX-License-Identifier: Apache-2.0
// What the groups and channels of one world of GPUs share: the communicators, which end together
// when a rank is lost, and how streams of communication stand in order with the GPU's own.
#pragma once

#include <vector>

#include "comm/nccl/nccl_library.h"
#include "core/cuda/handles.h"
#include "core/gpu.h"
#include "core/gpu_range.h"

namespace finescale {

// A stream of communication beside the stream of a GPU.
class NcclStream {
 public:
  NcclStream(Gpu& gpu, int rank);

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_.get(); }
  [[nodiscard]] const GpuPlace& place() const noexcept { return place_; }
  // What is enqueued here from now on begins behind the GPU's stream.
  void begin();
  // The GPU's stream goes on behind what was enqueued here.
  void end();
  // The same in two steps.
  void record(const CudaEvent& event);
  void gpu_waits_for(const CudaEvent& event);

 private:
  Gpu* gpu_;
  GpuPlace place_;
  CudaStream stream_;
  CudaEvent before_;
  CudaEvent after_;
};

class NcclWorld {
 public:
  NcclWorld(Gpu& gpu, int rank);
  ~NcclWorld();
  NcclWorld(const NcclWorld&) = delete;
  NcclWorld& operator=(const NcclWorld&) = delete;

  [[nodiscard]] Gpu& gpu() const noexcept { return *gpu_; }
  [[nodiscard]] int rank() const noexcept { return collectives_.place().rank; }
  [[nodiscard]] cudaStream_t stream() const noexcept { return collectives_.get(); }
  [[nodiscard]] const NcclStream& collectives() const noexcept { return collectives_; }

  void add(ncclComm_t comm) { comms_.push_back(comm); }
  // Unless it was aborted; `stream` is where its calls were enqueued.
  void destroy(ncclComm_t comm, const NcclStream& stream) noexcept;
  // For the time lines of profilers.
  [[nodiscard]] GpuRange range(const char* name) const { return {gpu_->stream(), name}; }
  void begin();
  void end() { collectives_.end(); }
  void refuse_aborted() const;
  // Throws kComm when a rank has been lost.
  void check();

 private:
  Gpu* gpu_;
  NcclStream collectives_;
  std::vector<ncclComm_t> comms_;
  bool is_aborted_ = false;
};

}  // namespace finescale
