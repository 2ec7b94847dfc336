// SPDX-License-Identifier: Apache-2.0
// Who is told of every kernel that a stream is given, with the least it must compute and move.
#pragma once

#include <array>
#include <cstdint>

namespace finescale {

struct KernelCall {
  const char* name = "";
  std::array<std::int64_t, 3> shape = {};  // M, N, K of a matrix product; else rows and columns
  double flops = 0;                        // multiply-add = 2
  double bytes = 0;                        // every input read once, every output written once
};

// Called on the thread that calls the kernel; kernels that call others are told of around them.
class KernelObserver {
 public:
  virtual ~KernelObserver() = default;
  virtual void begin() = 0;
  virtual void end(const KernelCall& call) = 0;

 protected:
  KernelObserver() = default;
  KernelObserver(const KernelObserver&) = default;
  KernelObserver& operator=(const KernelObserver&) = default;
};

}  // namespace finescale
