// SPDX-License-Identifier: Apache-2.0
// What the groups of one world of GPUs share: the stream of communication and its order with the
// GPU's own, and the communicators, which end together when a rank is lost.
#pragma once

#include <vector>

#include "comm/nccl/nccl_library.h"
#include "core/cuda/handles.h"
#include "core/gpu.h"

namespace finescale {

class NcclWorld {
 public:
  NcclWorld(Gpu& gpu, int rank);
  ~NcclWorld();
  NcclWorld(const NcclWorld&) = delete;
  NcclWorld& operator=(const NcclWorld&) = delete;

  [[nodiscard]] Gpu& gpu() const noexcept { return *gpu_; }
  [[nodiscard]] int rank() const noexcept { return place_.rank; }
  [[nodiscard]] cudaStream_t stream() const noexcept { return stream_.get(); }

  void add(ncclComm_t comm) { comms_.push_back(comm); }
  void destroy(ncclComm_t comm) noexcept;  // unless it was aborted
  // What is enqueued on stream() from here on begins behind the GPU's stream.
  void begin();
  // The GPU's stream goes on behind what was enqueued on stream().
  void end();
  // Throws kComm when a rank has been lost.
  void check();

 private:
  Gpu* gpu_;
  GpuPlace place_;
  CudaStream stream_;
  CudaEvent before_;
  CudaEvent after_;
  std::vector<ncclComm_t> comms_;
  bool is_aborted_ = false;
};

}  // namespace finescale
