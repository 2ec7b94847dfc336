// SPDX-License-Identifier: Apache-2.0
// Zeroed memory that stays where it is: of the host, on 64 bytes, or of a stream's GPU, on 256,
// where zeroing and all use is enqueued on that stream. The host never touches a GPU's memory:
// core/transfer.h copies.
#pragma once

#include <cstddef>

#include "core/device.h"
#include "core/gpu.h"

namespace finescale {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws kResource or kDevice.
  explicit AlignedBuffer(std::size_t size_bytes, const Stream& where = Stream(),
                         MemoryPurpose purpose = MemoryPurpose::kWeights);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  void free() noexcept;

  void* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  Gpu* gpu_ = nullptr;  // null: the host's
};

}  // namespace finescale
