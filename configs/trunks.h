// SPDX-License-Identifier: Apache-2.0
// Runs of several data budgets that begin alike: which ones do, and the stage that does what they
// have in common (docs/trunks.md).
#pragma once

#include <string>

#include "configs/schema/stage.pb.h"

namespace finescale {

// Why runs of these fields share no beginning with those of larger budgets; "" when they do.
[[nodiscard]] std::string why_no_trunk(const config::Train& train);

// The stage that does what the run of `spec`, a train stage, has in common with larger budgets.
// Keyed; it starts from nothing.
[[nodiscard]] config::StageSpec trunk_of(const config::StageSpec& spec);

}  // namespace finescale
