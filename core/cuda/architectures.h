// SPDX-License-Identifier: Apache-2.0
// Which GPUs the code of a build runs on.
#pragma once

#include <string>
#include <string_view>

namespace finescale {

// `built_for` as CMAKE_CUDA_ARCHITECTURES has it, or with commas: "80,90-real,100-virtual". Machine
// code runs on its own generation from its own minor version on; PTX ("-virtual", or no suffix) is
// compiled by the driver for anything newer.
[[nodiscard]] bool runs_on(std::string_view built_for, int major, int minor);

// "sm_80".
[[nodiscard]] std::string architecture_name(int major, int minor);

}  // namespace finescale
