// SPDX-License-Identifier: Apache-2.0
// The gradient tree's additions on a stream's device, by its kernels.
#pragma once

#include "core/device.h"
#include "sharding/gradient_add.h"

namespace finescale {

// The stream must outlive its users.
[[nodiscard]] LeafMemory leaf_memory(const Stream& stream);

}  // namespace finescale
