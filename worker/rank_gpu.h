// SPDX-License-Identifier: Apache-2.0
// Which GPU a rank works on.
#pragma once

#include <memory>
#include <string>

#include "comm/group.h"
#include "configs/schema/train.pb.h"
#include "core/gpu.h"
#include "core/log.h"

namespace finescale {

// device: auto | cpu | cuda. Null: the CPU. With cuda the ranks of a host take its GPUs in their
// order; throws kDevice when there are too few, or none can be used. auto stays on the CPU in this
// version and says that there are GPUs. Collective over the world.
[[nodiscard]] std::unique_ptr<Gpu> open_rank_gpu(Group& world, const std::string& device,
                                                 Logger& logger);

// What has a CUDA twin so far: full and lora (with fresh A and B), sft, adamw. Throws kConfig for
// the rest, naming the field.
void check_trains_on_gpu(const config::Train& train);

}  // namespace finescale
