// SPDX-License-Identifier: Apache-2.0
// One block of memory handed out in order and given back all at once. A dry pass (no memory)
// measures the peak; then the block is reserved once and the steady state never allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device.h"
#include "core/gpu.h"
#include "core/tensor.h"

namespace finescale {

class Arena {
 public:
  // Of the host's memory, or of a stream's GPU, where its users are enqueued.
  explicit Arena(const Stream& where = Stream(),
                 MemoryPurpose purpose = MemoryPurpose::kActivations) noexcept
      : gpu_(where.gpu()), purpose_(purpose) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Grows to at least this many bytes; only while nothing is handed out. Returns whether memory was
  // allocated.
  bool reserve(std::size_t size_bytes);
  // 64-byte aligned, uninitialised. Without enough reserved memory: returns a view with data ==
  // nullptr in a dry pass, else throws kInternal.
  [[nodiscard]] TensorView allocate(DType dtype, Shape shape);
  [[nodiscard]] std::size_t mark() const noexcept { return used_; }
  void release_to(std::size_t mark) noexcept { used_ = mark; }
  void reset() noexcept { used_ = 0; }

  void begin_dry_pass() noexcept {
    dry_ = true;
    used_ = 0;
    peak_ = 0;
  }
  std::size_t end_dry_pass() noexcept {
    dry_ = false;
    used_ = 0;
    return peak_;
  }
  [[nodiscard]] bool is_dry() const noexcept { return dry_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
  [[nodiscard]] std::int64_t num_system_allocations() const noexcept {
    return num_system_allocations_;
  }

 private:
  void free() noexcept;

  Gpu* gpu_;
  MemoryPurpose purpose_;
  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
  std::int64_t num_system_allocations_ = 0;
  bool dry_ = false;
};

}  // namespace finescale
