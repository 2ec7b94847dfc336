// SPDX-License-Identifier: Apache-2.0
// Where a trunk ends: docs/trunks.md.
#pragma once

#include <cstdint>

#include "configs/schema/train.pb.h"
#include "worker/data/loader.h"

namespace finescale {

// Updates that the runs of this budget and of every larger one have in common: they read the same
// batches at the same rates.
[[nodiscard]] std::int64_t trunk_end(const TrainLoader& loader, const config::Train& train);

}  // namespace finescale
