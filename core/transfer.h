// SPDX-License-Identifier: Apache-2.0
// Between the host's memory and that of a stream's device; on the CPU both are one. Whatever the
// host computes or reads of a tensor that kernels use goes through here. Dense tensors.
#pragma once

#include <cstddef>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"

namespace finescale {

// `host` may be changed when it returns; on a GPU the copy is enqueued.
void copy_to_device(const Stream& stream, const void* host, void* device, std::size_t size_bytes);
// Complete when it returns.
void copy_to_host(const Stream& stream, const void* device, void* host, std::size_t size_bytes);
// Enqueued; the two do not overlap.
void copy_on_device(const Stream& stream, const void* from, void* to, std::size_t size_bytes);

// A tensor as the host may touch it: itself on the CPU, a copy of a GPU's. Made for reading it has
// the tensor's values; what was written into it is in the tensor after commit().
class HostCopy {
 public:
  enum class For { kReading, kWriting };
  HostCopy(const Stream& stream, const TensorView& tensor, For purpose);
  [[nodiscard]] const TensorView& view() const noexcept { return view_; }
  void commit();

 private:
  Stream stream_;
  TensorView tensor_;
  AlignedBuffer memory_;
  TensorView view_;
};

}  // namespace finescale
