// SPDX-License-Identifier: Apache-2.0
// What a GPU gives the planner: rates measured by this process in about half a second, memory and
// links from what the device says of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/gpu.h"
#include "sharding/planner/machine.h"

namespace finescale {

struct GpuProbe {
  std::int64_t width = 2048;  // columns of the probed product: a layer of a model of 1B
  std::vector<std::int64_t> rows = {64, 256, 1024, 4096, 8192};
  std::int64_t tokens = 2048;  // of the probed attention, 16 heads of 64
  std::size_t copy_bytes = std::size_t{256} << 20;
  double seconds = 0.03;  // of each measurement
};

// host: of the machine it is in, as probe_machine() measured it.
[[nodiscard]] planner::Machine probe_gpu(Gpu& gpu, Products products, const planner::Machine& host,
                                         const GpuProbe& probe = {});

// Whether `ranks` on this host would work on its GPUs (resources.device: auto, cpu or cuda), by
// the rule of open_rank_gpu().
[[nodiscard]] bool plans_for_gpus(const std::string& device, int ranks, const GpuSurvey& survey);

// The machine that ranks of a gang on this host work on: its GPU, or `host`. Where GPUs are
// demanded and this host has none, a published one: the plan is for another host.
[[nodiscard]] planner::Machine machine_of_ranks(const std::string& device, int ranks,
                                                Products products, const planner::Machine& host);

}  // namespace finescale
