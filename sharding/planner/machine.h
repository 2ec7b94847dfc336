// SPDX-License-Identifier: Apache-2.0
// What ranks run on, as rates. Measured ones come from the worker; h100() holds published ones.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace finescale::planner {

enum class Axis { kData, kShard, kTensor, kPipeline };

struct Link {
  double bandwidth = 5e9;  // bytes/s that one rank sends while all of its group send
  double latency = 2e-6;   // seconds of one message
};
struct RatePoint {
  double rows = 1;
  double flops_per_s = 1e9;  // of one rank
};

struct Machine {
  std::string name = "this machine";
  double memory_per_rank = 0;                // bytes; 0: not known, not checked
  double base_bytes = 0;                     // of a rank before it holds a model
  std::vector<RatePoint> gemm = {{1, 1e9}};  // ascending rows; linear between, level outside
  double attention_flops_per_s = 1e9;
  double memory_bandwidth = 1e10;  // bytes/s of one rank while all are busy
  double peak_flops_per_s = 0;     // for model FLOP utilisation; 0: not known
  double layer_overhead = 0;       // seconds per layer and pass: launches, waiting threads
  int ranks_per_node = 1 << 20;
  Link inside;   // a node
  Link between;  // nodes: the link of one rank
  // Which axis has neighbouring ranks, innermost first: rank = ((p T + t) S + s) D + d.
  std::array<Axis, 4> order = {Axis::kData, Axis::kShard, Axis::kTensor, Axis::kPipeline};
  // Part of the time of an overlapped collective that computing loses all the same: 1 where the
  // ranks' threads copy the bytes themselves, near 0 where a device's own engines do.
  double overlap_loss = 1;
  // A device's way to its host, each direction, and the memory there: bytes/s of one rank while all
  // are busy. 0: the device is the host.
  double host_link = 0;
  double host_bandwidth = 0;
  // A file's bytes/s, of one rank while all are busy. Nobody measures it for a plan: an NVMe disk's
  // 2e9 shared by two ranks. What the system keeps of the file in memory is faster.
  double disk_bandwidth = 1e9;

  [[nodiscard]] bool has_device() const noexcept { return host_link > 0; }
  [[nodiscard]] double gemm_rate(double rows) const;
  // Of a group of `size` ranks that lie `stride` apart. A ring through nodes with k of its ranks in
  // each has k links out of a node.
  [[nodiscard]] Link link(int stride, int size) const;
};

// NVIDIA H100 SXM, 80 GB, eight to a node (NVLink 4), one 400 Gbit/s link each between nodes;
// ranks of the tensor axis are neighbours there (a rank file of the launcher).
[[nodiscard]] Machine h100();

}  // namespace finescale::planner
