// SPDX-License-Identifier: Apache-2.0
#include "worker/rank_gpu.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/host_name.h"

namespace finescale {

namespace {

struct RankPlace {
  std::array<char, 256> host = {};
  std::int64_t num_gpus = 0;  // of the host, 0 when none can be used
};

std::vector<RankPlace> places_of(Group& world, const GpuSurvey& survey) {
  std::vector<RankPlace> places(static_cast<std::size_t>(world.size()));
  std::vector<std::size_t> offsets;
  for (std::size_t rank = 0; rank <= places.size(); ++rank) {
    offsets.push_back(rank * sizeof(RankPlace));
  }
  RankPlace mine;
  host_name().copy(mine.host.data(), mine.host.size() - 1);
  mine.num_gpus = survey.usable() ? std::ssize(survey.gpus) : 0;
  world.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(places)),
                   offsets);
  return places;
}

// How many of the first `ranks` are on the host of `place`.
std::int64_t neighbours(const std::vector<RankPlace>& places, std::int64_t ranks,
                        const RankPlace& place) {
  return std::count_if(places.begin(), places.begin() + ranks,
                       [&](const RankPlace& other) { return other.host == place.host; });
}

bool every_rank_has_one(const std::vector<RankPlace>& places) {
  return std::all_of(places.begin(), places.end(), [&](const RankPlace& place) {
    return neighbours(places, std::ssize(places), place) <= place.num_gpus;
  });
}

}  // namespace

bool works_on_gpus(Group& world, const std::string& device) {
  return device != "cpu" &&
         (device == "cuda" || every_rank_has_one(places_of(world, survey_gpus())));
}

std::unique_ptr<Gpu> open_rank_gpu(Group& world, const std::string& device, std::int64_t gang,
                                   Logger& logger) {
  if (device == "cpu") {
    return nullptr;
  }
  const std::vector<RankPlace> places = places_of(world, survey_gpus());
  if (device == "auto" && !every_rank_has_one(places)) {
    return nullptr;
  }
  const RankPlace& mine = places[static_cast<std::size_t>(world.rank())];
  const std::int64_t ranks = neighbours(places, std::ssize(places), mine);
  std::int64_t index = neighbours(places, world.rank(), mine);
  if (ranks <= mine.num_gpus) {  // gangs of one host take turns at its GPUs
    index = (gang * ranks + index) % mine.num_gpus;
  }
  auto gpu = std::make_unique<Gpu>(static_cast<int>(index), world.rank());
  logger.info("rank {} works on GPU {} ({}, {:.0f} GiB)", world.rank(), gpu->info().index,
              gpu->info().name, static_cast<double>(gpu->info().memory_bytes) / 0x1p30);
  return gpu;
}

}  // namespace finescale
