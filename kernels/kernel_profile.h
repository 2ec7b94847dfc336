// SPDX-License-Identifier: Apache-2.0
// Times of kernels, one row per name and shape. A kernel's time is without that of kernels it
// calls. One thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/kernel_observer.h"

namespace finescale {

class KernelProfile final : public KernelObserver {
 public:
  struct Row {
    std::string name;
    std::array<std::int64_t, 3> shape = {};
    std::int64_t calls = 0;
    double seconds = 0;  // of all calls, as are the next two
    double flops = 0;
    double bytes = 0;
  };

  void begin() override;
  void end(const KernelCall& call) override;
  void clear() {
    rows_.clear();
    of_shape_.clear();
  }
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Open {
    Clock::time_point begin;
    double inside = 0;  // seconds of kernels called by this one
  };
  std::vector<Open> open_;
  std::vector<Row> rows_;
  // Places in rows_: ragged batches make hundreds of rows, and looking must not cost a step its
  // time.
  std::map<std::array<std::int64_t, 3>, std::vector<std::size_t>> of_shape_;
};

}  // namespace finescale
