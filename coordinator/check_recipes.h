// SPDX-License-Identifier: Apache-2.0
// Datasets that are made of others, counted before anything runs: what the plan's stages will read
// is made by the worker's tool, as far as no stage leaves it.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"

namespace finescale {

// What each of them holds, for people. Throws kConfig and kData at the place in the sweep file:
// examples that are none, an operator that asks for more than there is, a budget or a choice above
// what a stage reads. `plan` was made with the paths of files for their hashes.
std::vector<std::string> check_recipes(const Plan& plan, const config::Sweep& sweep,
                                       const std::string& file);

}  // namespace finescale
