// SPDX-License-Identifier: Apache-2.0
#include "core/aligned_buffer.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "core/aligned_memory.h"
#include "core/error.h"

namespace finescale {

AlignedBuffer::AlignedBuffer(std::size_t size_bytes, const Stream& where, MemoryPurpose purpose)
    : size_bytes_(size_bytes), gpu_(where.gpu()) {
  if (size_bytes == 0) {
    return;
  }
  if (gpu_ != nullptr) {
    data_ = gpu_->allocate(size_bytes, purpose);
    gpu_->clear(data_, size_bytes, size_bytes, 1);
    return;
  }
  data_ = allocate_aligned(size_bytes);
  if (data_ == nullptr) {
    throw Error(ErrorKind::kResource,
                "cannot allocate " + std::to_string(size_bytes >> 20) + " MiB of parameters");
  }
  std::memset(data_, 0, size_bytes);
}

AlignedBuffer::~AlignedBuffer() {
  free();
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      gpu_(other.gpu_) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    free();
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    gpu_ = other.gpu_;
  }
  return *this;
}

void AlignedBuffer::free() noexcept {
  if (gpu_ != nullptr && data_ != nullptr) {
    gpu_->release(data_);
  } else {
    std::free(data_);
  }
}

}  // namespace finescale
