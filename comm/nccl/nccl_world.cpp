// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl/nccl_world.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace finescale {

namespace {

// With everything enqueued so far given to it.
cudaStream_t stream_of(Gpu& gpu) {
  return static_cast<cudaStream_t>(gpu.native_stream());
}

}  // namespace

NcclStream::NcclStream(Gpu& gpu, int rank)
    : gpu_(&gpu),
      place_{gpu.info().index, rank},
      stream_(make_cuda_stream(place_)),
      before_(make_cuda_event(place_)),
      after_(make_cuda_event(place_)) {}

void NcclStream::begin() {
  CUDA_CHECK(place_, cudaEventRecord(before_.get(), stream_of(*gpu_)));
  CUDA_CHECK(place_, cudaStreamWaitEvent(stream_.get(), before_.get()));
}

void NcclStream::end() {
  record(after_);
  gpu_waits_for(after_);
}

void NcclStream::record(const CudaEvent& event) {
  CUDA_CHECK(place_, cudaEventRecord(event.get(), stream_.get()));
}

void NcclStream::gpu_waits_for(const CudaEvent& event) {
  CUDA_CHECK(place_, cudaStreamWaitEvent(stream_of(*gpu_), event.get()));
}

NcclWorld::NcclWorld(Gpu& gpu, int rank) : gpu_(&gpu), collectives_(gpu, rank) {
  gpu.set_wait_check([this] { check(); });
}

NcclWorld::~NcclWorld() {
  gpu_->set_wait_check(nullptr);
}

void NcclWorld::destroy(ncclComm_t comm, const NcclStream& stream) noexcept {
  if (const auto found = std::find(comms_.begin(), comms_.end(), comm); found != comms_.end()) {
    comms_.erase(found);
    (void)cudaStreamSynchronize(stream.get());  // its calls have ended
    (void)nccl().destroy(comm);
  }
}

void NcclWorld::refuse_aborted() const {
  if (is_aborted_) {
    throw Error(ErrorKind::kComm, "communication of the GPUs was aborted");
  }
}

void NcclWorld::begin() {
  refuse_aborted();
  collectives_.begin();
}

void NcclWorld::check() {
  ncclResult_t lost = ncclSuccess;
  for (ncclComm_t comm : comms_) {
    ncclResult_t error = ncclSuccess;
    const ncclResult_t asked = nccl().async_error(comm, &error);
    lost = asked != ncclSuccess                              ? asked
           : error != ncclSuccess && error != ncclInProgress ? error
                                                             : lost;
  }
  if (lost == ncclSuccess) {
    return;
  }
  for (ncclComm_t comm : comms_) {
    (void)nccl().abort(comm);  // frees it; what waits on the GPU ends
  }
  comms_.clear();
  is_aborted_ = true;
  throw Error(ErrorKind::kComm,
              std::string("NCCL: ") + nccl().error_string(lost) + ", found on rank " +
                  std::to_string(rank()) + ": communication of the GPUs was aborted",
              {}, "the log of the lost rank says why; the stage is tried again");
}

}  // namespace finescale
