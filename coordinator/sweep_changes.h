// SPDX-License-Identifier: Apache-2.0
// Whether a sweep file still is the sweep that a campaign directory holds, or that one grown.
#pragma once

#include <string>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// Throws kConfig listing the fields that differ. Fields that only say how to run (resources, laws,
// costs, budget) may.
void refuse_changes(const std::string& stored_text, const config::Sweep& now,
                    const std::string& directory);

// The same for a sweep that may have grown: axes may have more values, there may be more axes, and
// a random search may draw more trials. That no trial is lost by it is keep_trials' to check.
void refuse_all_but_additions(const std::string& stored_text, const config::Sweep& now,
                              const std::string& directory);

}  // namespace finescale
