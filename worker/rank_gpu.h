// SPDX-License-Identifier: Apache-2.0
// Which GPU a rank works on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/group.h"
#include "core/gpu.h"
#include "core/log.h"

namespace finescale {

// device: auto | cpu | cuda. Null: the CPU. Ranks of a host take its GPUs in their order, gangs one
// after the other. auto takes GPUs when every rank can have one of its own; cuda throws kDevice
// when there are too few, or none can be used. Collective over the world.
[[nodiscard]] std::unique_ptr<Gpu> open_rank_gpu(Group& world, const std::string& device,
                                                 std::int64_t gang, Logger& logger);

// Whether ranks of this world will be given GPUs, or fail for want of them. Collective over the
// world.
[[nodiscard]] bool works_on_gpus(Group& world, const std::string& device);

}  // namespace finescale
