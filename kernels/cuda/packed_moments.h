// SPDX-License-Identifier: Apache-2.0
// CUDA twin of adamw_update_packed of kernels/packed_moments.h: the same argument list, moments in
// bf16 (the second rounded at random) or one byte in the device's memory, the same bits.
#pragma once

#include "kernels/packed_moments.h"

namespace finescale::cuda {

decltype(finescale::adamw_update_packed) adamw_update_packed;

}  // namespace finescale::cuda
