// SPDX-License-Identifier: Apache-2.0
// f32 matrices as matrix products of bf16 take them (core/device.h, Products).
#pragma once

#include "core/device.h"
#include "core/tensor.h"
#include "kernels/round.h"

namespace finescale::cuda {

decltype(finescale::round_to_bf16) round_to_bf16;

}  // namespace finescale::cuda
