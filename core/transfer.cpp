// SPDX-License-Identifier: Apache-2.0
#include "core/transfer.h"

#include <cstring>

#include "core/error.h"
#include "core/gpu.h"

namespace finescale {

void copy_to_device(const Stream& stream, const void* host, void* device, std::size_t size_bytes) {
  if (size_bytes == 0) {
    return;
  }
  if (stream.gpu() != nullptr) {
    stream.gpu()->copy_to_device(host, device, size_bytes);
  } else {
    std::memcpy(device, host, size_bytes);
  }
}

void copy_to_host(const Stream& stream, const void* device, void* host, std::size_t size_bytes) {
  if (size_bytes == 0) {
    return;
  }
  if (stream.gpu() != nullptr) {
    stream.gpu()->copy_to_host(device, host, size_bytes);
  } else {
    std::memcpy(host, device, size_bytes);
  }
}

void copy_on_device(const Stream& stream, const void* from, void* to, std::size_t size_bytes) {
  if (size_bytes == 0) {
    return;
  }
  if (stream.gpu() != nullptr) {
    stream.gpu()->copy_on_device(from, size_bytes, to, size_bytes, size_bytes, 1);
  } else {
    std::memcpy(to, from, size_bytes);
  }
}

HostCopy::HostCopy(const Stream& stream, const TensorView& tensor, For purpose)
    : stream_(stream), tensor_(tensor), view_(tensor) {
  if (stream.gpu() == nullptr) {
    return;
  }
  FS_CHECK(tensor.is_dense(), "the host copies dense tensors");
  memory_ = AlignedBuffer(tensor.size_bytes());
  view_.data = memory_.data();
  if (purpose == For::kReading) {
    copy_to_host(stream_, tensor_.data, view_.data, tensor_.size_bytes());
  }
}

void HostCopy::commit() {
  if (view_.data != tensor_.data) {
    copy_to_device(stream_, view_.data, tensor_.data, tensor_.size_bytes());
  }
}

}  // namespace finescale
