// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool_gpu.h"

#include <algorithm>
#include <array>

#include "core/aligned_buffer.h"
#include "core/stopwatch.h"
#include "core/transfer.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"

namespace finescale {

namespace {

// The rest is lost where blocks of the caching allocator are cut.
constexpr double kUsablePart = 0.95;
// Calls between two waits: what starting costs is hidden, as it is in a step.
constexpr int kCalls = 8;
constexpr int kLaunches = 512;
// Kernels of a layer's forward pass; a backward pass has twice as many.
constexpr double kLaunchesOfLayer = 16;
constexpr int kHeads = 16;
constexpr int kHeadDim = 64;
// A message between GPUs, between hosts (not measured: one rank probes).
constexpr double kGpuLinkLatency = 8e-6;
constexpr double kNetworkLatency = 20e-6;
// Where nothing is known of the network: 100 Gbit/s.
constexpr double kNetwork = 12.5e9;

// What a rank sends by NVLink while all send, published bus bandwidths of eight GPUs.
double nvlink_bandwidth(int major) {
  return major >= 10 ? 700e9 : major == 9 ? 370e9 : major == 8 ? 230e9 : 130e9;
}

class Prober {
 public:
  Prober(Gpu& gpu, Products products, const GpuProbe& probe)
      : gpu_(gpu), stream_(gpu.stream().with_products(products)), probe_(probe) {}

  [[nodiscard]] std::vector<planner::RatePoint> products() {
    const std::int64_t most = *std::max_element(probe_.rows.begin(), probe_.rows.end());
    const std::int64_t width = probe_.width;
    const DType operand = operand_dtype(stream_, DType::kF32);  // as the step's are
    const AlignedBuffer x = floats(most * width);
    const AlignedBuffer w = floats(width * width);
    const AlignedBuffer y = floats(most * width);
    const TensorView weight(w.data(), DType::kF32, Shape{width, width});
    const SharedOperand shared(stream_, weight);  // as a step keeps it
    std::vector<planner::RatePoint> rates;
    for (const std::int64_t rows : probe_.rows) {
      const TensorView in(x.data(), operand, Shape{rows, width});
      const TensorView out(y.data(), operand, Shape{rows, width});
      const double seconds = best_seconds(
          kCalls, [&] { gemm(stream_, Transpose::kNo, Transpose::kYes, 1, in, weight, 0, out); });
      rates.push_back(
          {static_cast<double>(rows), 2 * static_cast<double>(rows * width * width) / seconds});
    }
    return rates;
  }

  [[nodiscard]] double attention() {
    const std::int64_t tokens = probe_.tokens;
    constexpr std::int64_t kWidth = std::int64_t{kHeads} * kHeadDim;
    const AlignedBuffer q = floats(tokens * kWidth);
    const AlignedBuffer out = floats(tokens * kWidth);
    const AlignedBuffer lse = floats(tokens * kHeads);
    const AlignedBuffer bounds(2 * sizeof(std::int32_t), stream_, MemoryPurpose::kScratch);
    const std::array<std::int32_t, 2> segments = {0, static_cast<std::int32_t>(tokens)};
    copy_to_device(stream_, segments.data(), bounds.data(), bounds.size_bytes());
    const DType operand = operand_dtype(stream_, DType::kF32);
    const TensorView rows(q.data(), operand, Shape{tokens, kWidth});
    const double seconds = best_seconds(kCalls, [&] {
      attention_forward(stream_, {kHeads, kHeads, kHeadDim, 0.125}, rows, rows, rows, segments,
                        TensorView(out.data(), operand, Shape{tokens, kWidth}),
                        TensorView(lse.data(), DType::kF32, Shape{tokens, kHeads}),
                        TensorView(bounds.data(), DType::kI32, Shape{2}));
    });
    // Of a token: two products with the half of the keys that it sees on average.
    return 2 * static_cast<double>(tokens * tokens * kWidth) / seconds;
  }

  [[nodiscard]] double memory_bandwidth() {
    const AlignedBuffer from = bytes(probe_.copy_bytes);
    const AlignedBuffer to = bytes(probe_.copy_bytes);
    const double seconds = best_seconds(
        kCalls, [&] { copy_on_device(stream_, from.data(), to.data(), probe_.copy_bytes); });
    return 2 * static_cast<double>(probe_.copy_bytes) / seconds;  // read and written
  }

  [[nodiscard]] double host_link() {
    const std::vector<std::byte> from(probe_.copy_bytes / 4);
    const AlignedBuffer to = bytes(from.size());
    const double seconds =
        best_seconds(1, [&] { copy_to_device(stream_, from.data(), to.data(), from.size()); });
    return static_cast<double>(from.size()) / seconds;
  }

  // Seconds of the host for a kernel that takes none.
  [[nodiscard]] double launch_seconds() {
    const AlignedBuffer one = floats(1);
    const TensorView view(one.data(), DType::kF32, Shape{1});
    return best_seconds(kLaunches, [&] { fill_zero(stream_, view); });
  }

 private:
  [[nodiscard]] AlignedBuffer bytes(std::size_t size) const {
    return AlignedBuffer(size, stream_, MemoryPurpose::kScratch);
  }
  [[nodiscard]] AlignedBuffer floats(std::int64_t count) const {
    return bytes(static_cast<std::size_t>(count) * sizeof(float));
  }
  // Least seconds of one call. The first one loads what it needs.
  template <class Call>
  [[nodiscard]] double best_seconds(int calls, const Call& call) {
    call();
    gpu_.synchronize();
    double best = 1e9;
    const Stopwatch all;
    do {
      const Stopwatch watch;
      for (int i = 0; i < calls; ++i) {
        call();
      }
      gpu_.synchronize();
      best = std::min(best, watch.seconds() / calls);
    } while (all.seconds() < probe_.seconds);
    return best;
  }

  Gpu& gpu_;
  Stream stream_;
  const GpuProbe& probe_;
};

}  // namespace

planner::Machine probe_gpu(Gpu& gpu, Products products, const planner::Machine& host,
                           const GpuProbe& probe) {
  planner::Machine machine = host;
  machine.name = gpu.info().name;
  Prober prober(gpu, products, probe);
  machine.gemm = prober.products();
  machine.attention_flops_per_s = prober.attention();
  machine.memory_bandwidth = prober.memory_bandwidth();
  machine.host_link = prober.host_link();
  machine.host_bandwidth = host.memory_bandwidth;
  machine.layer_overhead = kLaunchesOfLayer * prober.launch_seconds();
  // The context, libraries, their workspaces, and what others have on this GPU.
  const GpuMemory memory = gpu.memory();
  machine.memory_per_rank = kUsablePart * static_cast<double>(memory.total);
  machine.base_bytes =
      static_cast<double>(memory.total - memory.free - memory.held + memory.in_use);
  machine.ranks_per_node = std::max<int>(1, static_cast<int>(survey_gpus().gpus.size()));
  machine.inside = {gpu.info().has_nvlink ? nvlink_bandwidth(gpu.info().major)
                                          : machine.host_link / 2,  // in and out by one bus
                    kGpuLinkLatency};
  machine.between = {std::min(kNetwork, machine.host_link), kNetworkLatency};
  // Reductions of gradients run behind the backward pass, not beside it (docs/gpu.md).
  machine.overlap_loss = 1;
  return machine;
}

bool plans_for_gpus(const std::string& device, int ranks, const GpuSurvey& survey) {
  return device == "cuda" ||
         (device == "auto" && survey.usable() && ranks <= static_cast<int>(survey.gpus.size()));
}

planner::Machine machine_of_ranks(const std::string& device, int ranks, Products products,
                                  const planner::Machine& host) {
  const GpuSurvey survey = device == "cpu" ? GpuSurvey{} : survey_gpus();
  if (!plans_for_gpus(device, ranks, survey)) {
    return host;
  }
  if (!survey.usable()) {
    return planner::h100();
  }
  const auto first = std::find_if(survey.gpus.begin(), survey.gpus.end(),
                                  [](const GpuInfo& info) { return info.why_not.empty(); });
  Gpu gpu(first->index, 0);
  return probe_gpu(gpu, products, host);
}

}  // namespace finescale
