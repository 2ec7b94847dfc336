// SPDX-License-Identifier: Apache-2.0
// Element-wise sums of the gradient tree, on the thread team. Element by element, so no bit depends
// on cuts or threads.
#pragma once

#include <cstdint>
#include <functional>

#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// out[i] = a[i] + b[i]; out may be a or b itself. f32 or f64.
void add_elements(void* out, const void* a, const void* b, std::int64_t num_elements, DType dtype);
void clear_elements(void* out, std::int64_t num_elements, DType dtype);
void copy_elements(void* out, const void* in, std::int64_t num_elements, DType dtype);

// Where leaves of the tree lie, and how they are added there.
struct LeafMemory {
  Stream stream = Stream();
  // out = a + b on the stream of a GPU, as add_elements: a kernel, of which this folder knows
  // nothing. Unused on the CPU.
  std::function<void(void* out, const void* a, const void* b, std::int64_t num_elements,
                     DType dtype)>
      add = {};
};
void add_elements(const LeafMemory& where, void* out, const void* a, const void* b,
                  std::int64_t num_elements, DType dtype);
void clear_elements(const LeafMemory& where, void* out, std::int64_t num_elements, DType dtype);
void copy_elements(const LeafMemory& where, void* out, const void* in, std::int64_t num_elements,
                   DType dtype);

}  // namespace finescale
