// SPDX-License-Identifier: Apache-2.0
// What tests do to the emulated NCCL.
#pragma once

namespace finescale::cuda::emulation {

// The rank that uses this GPU is gone: its peers hear of it, and what they wait for never comes.
void lose_peer_of(int device);

}  // namespace finescale::cuda::emulation
