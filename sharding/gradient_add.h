// SPDX-License-Identifier: Apache-2.0
// Element-wise sums of the gradient tree, on the thread team. Element by element, so no bit depends
// on cuts or threads.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace finescale {

// out[i] = a[i] + b[i]; out may be a or b itself. f32 or f64.
void add_elements(void* out, const void* a, const void* b, std::int64_t num_elements, DType dtype);
void clear_elements(void* out, std::int64_t num_elements, DType dtype);
void copy_elements(void* out, const void* in, std::int64_t num_elements, DType dtype);

}  // namespace finescale
