// SPDX-License-Identifier: Apache-2.0
#include "worker/rank_gpu.h"

#include <unistd.h>

#include <array>
#include <vector>

namespace finescale {

namespace {

// How many ranks in front of this one are on the same host.
int place_on_host(Group& world) {
  using Name = std::array<char, 256>;
  std::vector<Name> names(static_cast<std::size_t>(world.size()));
  std::vector<std::size_t> offsets;
  for (std::size_t rank = 0; rank <= names.size(); ++rank) {
    offsets.push_back(rank * sizeof(Name));
  }
  Name& own = names[static_cast<std::size_t>(world.rank())];
  ::gethostname(own.data(), own.size() - 1);
  const Name mine = own;
  world.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(names)),
                   offsets);
  int place = 0;
  for (int rank = 0; rank < world.rank(); ++rank) {
    place += static_cast<int>(names[static_cast<std::size_t>(rank)] == mine);
  }
  return place;
}

}  // namespace

std::unique_ptr<Gpu> open_rank_gpu(Group& world, const std::string& device, Logger& logger) {
  if (device == "cuda") {
    auto gpu = std::make_unique<Gpu>(place_on_host(world), world.rank());
    logger.info("rank {} works on GPU {} ({}, {:.0f} GiB)", world.rank(), gpu->info().index,
                gpu->info().name, static_cast<double>(gpu->info().memory_bytes) / 0x1p30);
    return gpu;
  }
  if (device == "auto" && world.rank() == 0) {
    if (const GpuSurvey survey = survey_gpus(); survey.usable()) {
      logger.info("{} GPU(s) are here and not used: resources.device: cuda uses them",
                  survey.gpus.size());
    }
  }
  return nullptr;
}

}  // namespace finescale
