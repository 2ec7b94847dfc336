// SPDX-License-Identifier: Apache-2.0
// Groups /state and /run of a checkpoint, guarded by one hash over all of their content.
#pragma once

#include <hdf5.h>

#include "checkpoint/checkpoint.h"

namespace finescale::h5 {

void write_state(hid_t file, const CheckpointState& state);
[[nodiscard]] CheckpointState read_state(hid_t file);  // kCheckpoint when the hash does not match

}  // namespace finescale::h5
