// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_add.h"

#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "core/transfer.h"

namespace finescale {

namespace {

constexpr std::int64_t kGrain = std::int64_t{1}
                                << 16;  // elements: a thread starts in 5 us, this takes 20

template <class T>
void add(T* out, const T* a, const T* b, std::int64_t num_elements) {
  parallel_for(num_elements, kGrain, [=](std::int64_t begin, std::int64_t end) {
  // Exact aliasing of out with a or b has no dependence between iterations.
#pragma GCC ivdep
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = a[i] + b[i];
    }
  });
}

}  // namespace

void add_elements(void* out, const void* a, const void* b, std::int64_t num_elements, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      add(static_cast<float*>(out), static_cast<const float*>(a), static_cast<const float*>(b),
          num_elements);
      return;
    case DType::kF64:
      add(static_cast<double*>(out), static_cast<const double*>(a), static_cast<const double*>(b),
          num_elements);
      return;
    case DType::kI32:
    case DType::kBf16:
      break;
  }
  FS_CHECK(false, "gradients are f32 or f64");
}

void clear_elements(void* out, std::int64_t num_elements, DType dtype) {
  parallel_for(num_elements, kGrain, [=](std::int64_t begin, std::int64_t end) {
    const auto size = static_cast<std::int64_t>(dtype_size(dtype));
    std::memset(static_cast<std::byte*>(out) + begin * size, 0,
                static_cast<std::size_t>((end - begin) * size));
  });
}

void copy_elements(void* out, const void* in, std::int64_t num_elements, DType dtype) {
  parallel_for(num_elements, kGrain, [=](std::int64_t begin, std::int64_t end) {
    const auto size = static_cast<std::int64_t>(dtype_size(dtype));
    std::memcpy(static_cast<std::byte*>(out) + begin * size,
                static_cast<const std::byte*>(in) + begin * size,
                static_cast<std::size_t>((end - begin) * size));
  });
}

void add_elements(const LeafMemory& where, void* out, const void* a, const void* b,
                  std::int64_t num_elements, DType dtype) {
  if (where.stream.on_gpu()) {
    where.add(out, a, b, num_elements, dtype);
  } else {
    add_elements(out, a, b, num_elements, dtype);
  }
}

void clear_elements(const LeafMemory& where, void* out, std::int64_t num_elements, DType dtype) {
  if (where.stream.on_gpu()) {
    const std::size_t size = static_cast<std::size_t>(num_elements) * dtype_size(dtype);
    where.stream.gpu()->clear(out, size, size, 1);
  } else {
    clear_elements(out, num_elements, dtype);
  }
}

void copy_elements(const LeafMemory& where, void* out, const void* in, std::int64_t num_elements,
                   DType dtype) {
  if (where.stream.on_gpu()) {
    copy_on_device(where.stream, in, out,
                   static_cast<std::size_t>(num_elements) * dtype_size(dtype));
  } else {
    copy_elements(out, in, num_elements, dtype);
  }
}

}  // namespace finescale
