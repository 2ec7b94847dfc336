// SPDX-License-Identifier: Apache-2.0
// Moves one rank's part of a tensor between memory and its dataset, in the process that calls.
#pragma once

#include <hdf5.h>

#include "checkpoint/checkpoint.h"

namespace finescale::h5 {

void write_part(hid_t file, const CheckpointTensor& tensor);
// Reads the part; of a whole tensor the hash is checked. Converts between f32 and f64.
void read_part(hid_t file, const CheckpointTensor& tensor);
[[nodiscard]] bool is_whole(const CheckpointTensor& tensor) noexcept;
// Throws kInternal for a tensor that cannot be: part outside of the shape, memory not dense or of
// another size.
void check_part(const CheckpointTensor& tensor);

}  // namespace finescale::h5
