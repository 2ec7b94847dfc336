// SPDX-License-Identifier: Apache-2.0
#include "core/arena.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "core/aligned_memory.h"
#include "core/error.h"

namespace finescale {

Arena::~Arena() {
  free();
}

void Arena::free() noexcept {
  if (gpu_ != nullptr && base_ != nullptr) {
    gpu_->release(base_);
  } else {
    std::free(base_);
  }
  base_ = nullptr;
}

bool Arena::reserve(std::size_t size_bytes) {
  FS_CHECK(used_ == 0, "the arena is in use");
  if (size_bytes <= capacity_) {
    return false;
  }
  free();
  capacity_ = 0;
  const std::size_t wanted =
      (size_bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
  base_ = static_cast<std::byte*>(gpu_ != nullptr ? gpu_->allocate(wanted, purpose_)
                                                  : allocate_aligned(wanted));
  if (base_ == nullptr) {
    throw Error(ErrorKind::kResource,
                "cannot allocate " + std::to_string(wanted >> 20) + " MiB of activations", {},
                "lower train.micro_batch_tokens");
  }
  capacity_ = wanted;
  ++num_system_allocations_;
  return true;
}

TensorView Arena::allocate(DType dtype, Shape shape) {
  TensorView view(nullptr, dtype, shape);
  const std::size_t size =
      (view.size_bytes() + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
  if (!dry_) {
    FS_CHECK(used_ + size <= capacity_,
             "the arena is too small: the dry pass did not see this allocation");
    view.data = base_ + used_;
  }
  used_ += size;
  peak_ = std::max(peak_, used_);
  return view;
}

}  // namespace finescale
