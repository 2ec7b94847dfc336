// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/tool_gpu.h"

#include "core/error.h"

namespace finescale {

void add_device_option(CLI::App& app, std::string& device) {
  app.add_option("--device", device, "cpu, cuda, or auto: a GPU where one can be used")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
}

std::unique_ptr<Gpu> gpu_for(const OpenedModel& opened, const std::string& device) {
  const bool is_apart = opened.adapter && !opened.adapter->why_apart.empty();
  const bool is_demanded = device == "cuda";
  if (is_demanded && is_apart) {
    throw Error(ErrorKind::kConfig, "this adapter has no GPU kernels in this version", "--device",
                "use --device cpu");
  }
  if (is_demanded || (device == "auto" && !is_apart && survey_gpus().usable())) {
    return std::make_unique<Gpu>(0, 0);
  }
  return nullptr;
}

Engine engine_on(const SingleEngine& single, const std::unique_ptr<Gpu>& gpu) {
  Engine engine = single.engine();
  if (gpu != nullptr) {
    engine.stream = gpu->stream();
  }
  return engine;
}

}  // namespace finescale
