// SPDX-License-Identifier: Apache-2.0
// The GPU of a command that computes with a model: option --device.
#pragma once

#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "core/gpu.h"
#include "worker/import/open_model.h"
#include "worker/single_engine.h"

namespace finescale {

// --device auto | cpu | cuda, into `device`, which has the default.
void add_device_option(CLI::App& app, std::string& device);

// The first GPU with "cuda", and with "auto" where it can be used and the adapter is merged; else
// null: the CPU computes. Throws kConfig when "cuda" asks for an adapter beside its base, kDevice
// when there is no GPU.
[[nodiscard]] std::unique_ptr<Gpu> gpu_for(const OpenedModel& opened, const std::string& device);

// The process by itself, on the GPU if there is one.
[[nodiscard]] Engine engine_on(const SingleEngine& single, const std::unique_ptr<Gpu>& gpu);

}  // namespace finescale
