// SPDX-License-Identifier: Apache-2.0
// A one-way link between two ranks with a GPU each: messages between the GPUs' memories arrive in
// the order of their sends. Nothing waits on the host, and a message that waits for its receiver
// holds up no other channel. The thread that opened the GPU calls.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "comm/group.h"

namespace finescale {

class GpuChannel {
 public:
  using Ticket = std::size_t;

  virtual ~GpuChannel();
  GpuChannel(const GpuChannel&) = delete;
  GpuChannel& operator=(const GpuChannel&) = delete;

  // Of the sender: enqueued behind what the GPU's stream has been given so far. The bytes stay as
  // they are until wait() was called for the ticket, once: the stream goes on behind the message.
  [[nodiscard]] virtual Ticket send(std::span<const std::byte> bytes) = 0;
  virtual void wait(Ticket ticket) = 0;
  // Of the receiver: likewise, and the GPU's stream goes on behind the message. Sizes agree.
  virtual void receive(std::span<std::byte> bytes) = 0;

 protected:
  GpuChannel() = default;
};

// From rank `from` to rank `to` of a group of GPUs (comm/nccl); null on the others. Collective over
// the group, which must outlive it.
[[nodiscard]] std::unique_ptr<GpuChannel> open_gpu_channel(Group& group, int from, int to);

}  // namespace finescale
