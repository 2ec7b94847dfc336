// SPDX-License-Identifier: Apache-2.0
// A named range of this thread's time line in NVIDIA's profilers (NVTX), around what is enqueued
// within it. Without a profiler it costs a look at a pointer, on the CPU a branch. Ranges nest.
#pragma once

#include <cstdint>
#include <utility>

#include "core/device.h"

namespace finescale {

class GpuRange {
 public:
  // The name outlives the range. index: shown beside it; -1: none.
  GpuRange(const Stream& stream, const char* name, std::int64_t index = -1) noexcept
      : is_open_(stream.on_gpu()) {
    if (is_open_) {
      open(name, index);
    }
  }
  ~GpuRange() {
    if (is_open_) {
      close();
    }
  }
  GpuRange(GpuRange&& other) noexcept : is_open_(std::exchange(other.is_open_, false)) {}
  GpuRange& operator=(GpuRange&& other) noexcept {
    std::swap(is_open_, other.is_open_);
    return *this;
  }
  GpuRange(const GpuRange&) = delete;
  GpuRange& operator=(const GpuRange&) = delete;

 private:
  static void open(const char* name, std::int64_t index) noexcept;
  static void close() noexcept;

  bool is_open_;
};

}  // namespace finescale
