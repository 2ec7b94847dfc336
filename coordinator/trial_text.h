// SPDX-License-Identifier: Apache-2.0
// A planned trial as the store keeps it.
#pragma once

#include <string>

#include "coordinator/plan.h"

namespace finescale {

[[nodiscard]] std::string trial_text(const PlannedTrial& trial);
[[nodiscard]] PlannedTrial trial_from_text(const std::string& text);

}  // namespace finescale
