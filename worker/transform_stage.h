// SPDX-License-Identifier: Apache-2.0
// Executes a transform: leaves checkpoint.h5 in the attempt's directory. Each logical tensor is
// read whole, changed and kept by one rank, one after the other, so a rank holds its share of the
// result and one tensor of every model. Collective over the world; the bits do not depend on the
// ranks.
#pragma once

#include "worker/data_stages.h"

namespace finescale {

[[nodiscard]] proto::StageResult run_transform_stage(const config::StageSpec& stage,
                                                     const DataStageInput& input);

}  // namespace finescale
