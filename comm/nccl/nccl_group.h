// SPDX-License-Identifier: Apache-2.0
// Groups of ranks with a GPU each. What lies in the memory of the rank's GPU travels by NCCL: a
// call enqueues, behind what the GPU's stream has been given so far and in front of what it is
// given next. What lies in the host's memory travels by the group that it was made from, as ever.
// Point to point is for the host's memory alone: between GPUs there are channels
// (comm/gpu_channel.h). The thread that opened the GPU calls.
#pragma once

#include <memory>

#include "comm/group.h"
#include "core/gpu.h"

namespace finescale {

// `host` is taken over; its ranks have different GPUs. While the host waits for its GPU, the loss
// of a rank is found: all communication of this world is aborted, and the wait throws kComm. The
// GPU must outlive the group and its parts. Collective over host.
[[nodiscard]] std::unique_ptr<Group> make_nccl_group(std::unique_ptr<Group> host, Gpu& gpu);

}  // namespace finescale
