// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/machine.h"

#include <algorithm>

namespace finescale::planner {

double Machine::gemm_rate(double rows) const {
  const auto above = std::find_if(gemm.begin(), gemm.end(),
                                  [&](const RatePoint& point) { return point.rows >= rows; });
  if (above == gemm.begin()) {
    return above->flops_per_s;
  }
  if (above == gemm.end()) {
    return gemm.back().flops_per_s;
  }
  const RatePoint& low = *(above - 1);
  const double part = (rows - low.rows) / (above->rows - low.rows);
  return low.flops_per_s + part * (above->flops_per_s - low.flops_per_s);
}

Link Machine::link(int stride, int size) const {
  if (static_cast<double>(stride) * size <= ranks_per_node) {
    return inside;
  }
  const int neighbours = std::max(1, ranks_per_node / stride);
  return {std::min(inside.bandwidth, between.bandwidth * neighbours), between.latency};
}

Machine h100() {
  Machine m;
  m.name = "H100 SXM";
  m.memory_per_rank = 80e9 * 0.94;  // what is left beside the driver and fragmentation
  m.base_bytes = 2.5e9;             // context, libraries, communicators, workspaces
  // Assumed: 63% of the dense bf16 peak in long runs; single kernels are published at 670 to 740.
  m.gemm = {{64, 60e12}, {256, 220e12}, {1024, 480e12}, {4096, 600e12}, {8192, 620e12}};
  m.attention_flops_per_s = 420e12;  // forward 484 to 591, backward 370 to 474 (cuDNN, H200)
  m.memory_bandwidth = 3.35e12 * 0.8;
  m.peak_flops_per_s = 989e12;
  m.layer_overhead = 40e-6;
  m.ranks_per_node = 8;
  m.inside = {370e9, 8e-6};  // 8 ranks all-reduce at 460 to 480 GB/s, gathers at about 370
  m.between = {42e9, 20e-6};
  m.order = {Axis::kTensor, Axis::kShard, Axis::kData, Axis::kPipeline};
  m.overlap_loss = 0.1;     // multiprocessors that copy instead of multiplying
  m.host_link = 50e9;       // PCIe 5.0 x16, of 63
  m.host_bandwidth = 50e9;  // two sockets of eight DDR5 channels, of 8 x 77, for eight ranks
  return m;
}

}  // namespace finescale::planner
