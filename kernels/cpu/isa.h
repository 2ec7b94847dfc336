// SPDX-License-Identifier: Apache-2.0
// Chooses among the compiled targets, for our kernels and for the GEMM library alike.
#pragma once

#include "core/device.h"

namespace finescale::cpu {

// Takes FINESCALE_ISA into account at the first call; cheap afterwards. Every dispatcher calls it.
void ensure_isa();

// Whether the ISA in force multiplies pairs of bf16: AVX-512 of a CPU with AVX512-BF16.
[[nodiscard]] bool multiplies_bf16();

// Tests: switch our kernels to another ISA of this machine. The GEMM library keeps the one it
// started with.
void use_isa(Isa isa);

}  // namespace finescale::cpu
