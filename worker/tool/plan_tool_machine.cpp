// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool_machine.h"

#include <algorithm>
#include <cstring>

#include "core/device.h"
#include "core/parallel.h"
#include "core/stopwatch.h"
#include "core/tensor.h"
#include "kernels/gemm.h"
#include "worker/model/parameters.h"

namespace finescale {

namespace {

// Columns of the probed product: the width of a small model's layer, out of cache with its rows.
constexpr std::int64_t kWidth = 576;
constexpr double kProbeSeconds = 0.03;
// Measured with Open MPI's shared memory: a collective of many MiB moves an eighth of what memcpy
// does (copied in, copied out, both ranks at once), a short message takes 2 us.
constexpr double kLinkPart = 1.0 / 8;
constexpr double kLinkLatency = 2e-6;
// A worker that has started MPI, read its tokenizer and opened its files: what a small run's ranks
// held beside the engine's buffers (VmHWM, 48 to 58 MB).
constexpr double kBaseBytes = 60e6;
// Attention's products are small: about half of the rate of a layer's.
constexpr double kAttentionPart = 0.5;

// Least seconds of one call: others on the machine only make it slower.
template <class Call>
double best_seconds(const Call& call) {
  double best = 1e9;
  const Stopwatch all;
  do {
    const Stopwatch watch;
    call();
    best = std::min(best, watch.seconds());
  } while (all.seconds() < kProbeSeconds);
  return best;
}

}  // namespace

planner::Machine probe_machine(int threads) {
  planner::Machine machine;
  machine.base_bytes = kBaseBytes;
  machine.gemm.clear();
  const int before = num_threads();
  set_num_threads(threads);
  constexpr std::int64_t kMaxRows = 2048;
  AlignedBuffer x(static_cast<std::size_t>(kMaxRows * kWidth) * sizeof(float));
  AlignedBuffer w(static_cast<std::size_t>(kWidth * kWidth) * sizeof(float));
  AlignedBuffer y(static_cast<std::size_t>(kMaxRows * kWidth) * sizeof(float));
  std::memset(x.data(), 0, x.size_bytes());
  std::memset(w.data(), 0, w.size_bytes());
  const TensorView weight(w.data(), DType::kF32, Shape{kWidth, kWidth});
  for (const std::int64_t rows : {16, 64, 256, 2048}) {
    const TensorView in(x.data(), DType::kF32, Shape{rows, kWidth});
    const TensorView out(y.data(), DType::kF32, Shape{rows, kWidth});
    const double seconds = best_seconds(
        [&] { gemm(Stream(), Transpose::kNo, Transpose::kYes, 1, in, weight, 0, out); });
    machine.gemm.push_back(
        {static_cast<double>(rows), 2.0 * static_cast<double>(rows * kWidth * kWidth) / seconds});
  }
  machine.attention_flops_per_s = kAttentionPart * machine.gemm.back().flops_per_s;
  constexpr std::size_t kCopyBytes = std::size_t{32} << 20;  // out of the caches
  AlignedBuffer from(kCopyBytes);
  AlignedBuffer to(kCopyBytes);
  std::memset(from.data(), 1, kCopyBytes);
  const double copy = static_cast<double>(kCopyBytes) /
                      best_seconds([&] { std::memcpy(to.data(), from.data(), kCopyBytes); });
  machine.memory_bandwidth = 2 * copy;  // read and written
  machine.inside = machine.between = {kLinkPart * copy, kLinkLatency};
  set_num_threads(before);
  return machine;
}

}  // namespace finescale
