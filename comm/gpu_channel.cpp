// SPDX-License-Identifier: Apache-2.0
#include "comm/gpu_channel.h"

namespace finescale {

GpuChannel::~GpuChannel() = default;

}  // namespace finescale
