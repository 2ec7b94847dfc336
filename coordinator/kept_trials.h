// SPDX-License-Identifier: Apache-2.0
// A campaign's trials keep their names when it is planned again, also when its sweep has grown
// (finescale run --extend). Pure.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"

namespace finescale {

// Gives the trials of the plan the ids under which the store knows them, and new trials the next
// free numbers. A trial is known by the values of its axes; an axis that the stored trials do not
// have counts with the value that its field has in the sweep. Throws kConfig when a stored trial is
// missing from the plan or would now run other stages: its data changed, or the program did.
void keep_trials(const std::vector<PlannedTrial>& stored, const config::Sweep& sweep,
                 const std::string& directory, Plan& plan);

}  // namespace finescale
