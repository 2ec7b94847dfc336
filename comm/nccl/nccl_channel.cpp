// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl/nccl_channel.h"

#include <utility>

namespace finescale {

NcclChannel::NcclChannel(std::shared_ptr<NcclWorld> world, ncclComm_t comm)
    : world_(std::move(world)), comm_(comm), stream_(world_->gpu(), world_->rank()) {
  world_->add(comm_);
}

NcclChannel::~NcclChannel() {
  world_->destroy(comm_, stream_);
}

GpuChannel::Ticket NcclChannel::send(std::span<const std::byte> bytes) {
  if (free_.empty()) {
    free_.push_back(sent_.size());
    sent_.push_back(make_cuda_event(stream_.place()));
  }
  const Ticket ticket = free_.back();
  free_.pop_back();
  world_->refuse_aborted();
  const GpuRange range = world_->range("send");
  stream_.begin();
  NCCL_CHECK(world_->rank(),
             nccl().send(bytes.data(), bytes.size(), ncclInt8, 1, comm_, stream_.get()));
  stream_.record(sent_[ticket]);
  return ticket;
}

void NcclChannel::wait(Ticket ticket) {
  stream_.gpu_waits_for(sent_[ticket]);
  free_.push_back(ticket);
}

void NcclChannel::receive(std::span<std::byte> bytes) {
  world_->refuse_aborted();
  const GpuRange range = world_->range("receive");
  stream_.begin();
  NCCL_CHECK(world_->rank(),
             nccl().receive(bytes.data(), bytes.size(), ncclInt8, 0, comm_, stream_.get()));
  stream_.end();
}

}  // namespace finescale
