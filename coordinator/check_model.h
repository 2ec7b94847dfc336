// SPDX-License-Identifier: Apache-2.0
// Whether base.model can be opened and goes with the data's rules, before a campaign is made.
#pragma once

#include "configs/schema/sweep.pb.h"

namespace finescale {

// Throws what is wrong with the files; does nothing for a sweep without base.model.
void check_base_model(const config::Sweep& sweep);

}  // namespace finescale
