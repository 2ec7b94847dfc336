// SPDX-License-Identifier: Apache-2.0
// A channel is a communicator of two ranks with a stream of its own: NCCL takes the calls of one
// communicator in their order, so a send there would hold up whatever came behind it.
#pragma once

#include <memory>
#include <vector>

#include "comm/gpu_channel.h"
#include "comm/nccl/nccl_world.h"

namespace finescale {

class NcclChannel final : public GpuChannel {
 public:
  // comm: of two ranks, the sender is rank 0; taken over.
  NcclChannel(std::shared_ptr<NcclWorld> world, ncclComm_t comm);
  ~NcclChannel() override;
  NcclChannel(const NcclChannel&) = delete;
  NcclChannel& operator=(const NcclChannel&) = delete;

  [[nodiscard]] Ticket send(std::span<const std::byte> bytes) override;
  void wait(Ticket ticket) override;
  void receive(std::span<std::byte> bytes) override;

 private:
  // shared: groups and channels of a world end in any order.
  std::shared_ptr<NcclWorld> world_;
  ncclComm_t comm_;
  NcclStream stream_;
  std::vector<CudaEvent> sent_;  // by ticket
  std::vector<Ticket> free_;
};

}  // namespace finescale
