// SPDX-License-Identifier: Apache-2.0
// The orthogonal factor of a matrix, roughly: U V^T of its singular value decomposition U S V^T.
#pragma once

#include <cstdint>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// x [R, C] becomes U S' V^T with S' between about 0.7 and 1.2: five steps of a quintic
// Newton-Schulz iteration (Jordan et al. 2024, Muon). A matrix of zeros stays. scratch grows to
// newton_schulz_elements; no bit depends on threads.
void newton_schulz(const Stream& stream, const TensorView& x, AlignedBuffer& scratch);
// Elements of the scratch for a matrix of this size.
[[nodiscard]] std::int64_t newton_schulz_elements(std::int64_t rows, std::int64_t cols);

}  // namespace finescale
