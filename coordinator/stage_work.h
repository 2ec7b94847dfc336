// SPDX-License-Identifier: Apache-2.0
// How much a stage has to do, roughly: examples it trains on. Before any data is read; for time
// left and for simulated durations, where only the relation of the stages matters.
#pragma once

#include <cstdint>

#include "configs/schema/stage.pb.h"

namespace finescale {

// Examples from the beginning of the run up to the end of this stage; with a trunk as its start,
// the stage itself does what is left of them. Stages that do not train count as one example.
// `budget`: takes the place of the stage's own.
[[nodiscard]] double work_until_end(const config::StageSpec& spec, std::int64_t budget);

}  // namespace finescale
