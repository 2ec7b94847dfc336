// SPDX-License-Identifier: Apache-2.0
// CUDA twin of rope_apply of kernels/rope.h: the same argument list, enqueued on the stream. x f32,
// bf16 or f64; the tables are f32 (f64 for f64) and in the device's memory.
#pragma once

#include "kernels/rope.h"

namespace finescale::cuda {

decltype(finescale::rope_apply) rope_apply;

}  // namespace finescale::cuda
