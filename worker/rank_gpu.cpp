// SPDX-License-Identifier: Apache-2.0
#include "worker/rank_gpu.h"

#include <unistd.h>

#include <array>
#include <vector>

#include "core/error.h"

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

void check_trains_on_gpu(const config::Train& train) {
  const auto refuse = [](const char* what, const char* where) {
    throw Error(ErrorKind::kConfig, std::string(what) + " does not train on GPUs in this version",
                where, "resources.device: cpu");
  };
  const config::Method& method = train.method();
  const bool plain_lora = method.has_lora() && method.lora().init() == config::LORA_INIT_UNIFORM;
  if (!plain_lora && !method.has_full() && method.kind_case() != config::Method::KIND_NOT_SET) {
    refuse("this method", "train.method");
  }
  if (train.objective().kind_case() != config::Objective::KIND_NOT_SET &&
      !train.objective().has_sft()) {
    refuse("this objective", "train.objective");
  }
  if (train.optimizer().kind_case() != config::UpdateRule::KIND_NOT_SET &&
      !train.optimizer().has_adamw()) {
    refuse("this update rule", "train.optimizer");
  }
}

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
