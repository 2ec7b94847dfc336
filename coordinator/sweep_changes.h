// SPDX-License-Identifier: Apache-2.0
// Whether a sweep file still is the sweep that a campaign directory holds.
#pragma once

#include <string>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// Throws kConfig listing the fields that differ. Fields that only say how to run (resources, laws,
// costs, budget) may.
void refuse_changes(const std::string& stored_text, const config::Sweep& now,
                    const std::string& directory);

}  // namespace finescale
