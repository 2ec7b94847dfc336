// SPDX-License-Identifier: Apache-2.0
// A campaign as TensorBoard reads it: a directory for each trial with one event file, a view of the
// store like metrics.h5.
#pragma once

#include <string>

#include "coordinator/campaign_reader.h"

namespace finescale {

// Writes DIRECTORY/<trial>/events.out.tfevents.*; what is there of these trials is replaced.
void write_tensorboard(const Campaign& campaign, const std::string& directory);

}  // namespace finescale
