// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/gpu_tool.h"

#include <nlohmann/json.hpp>

#include "core/gpu.h"

namespace finescale {

std::string gpu_tool() {
  const GpuSurvey survey = survey_gpus();
  nlohmann::json gpus = nlohmann::json::array();
  for (const GpuInfo& gpu : survey.gpus) {
    gpus.push_back({{"index", gpu.index},
                    {"name", gpu.name},
                    {"capability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor)},
                    {"memory_bytes", gpu.memory_bytes},
                    {"why_not", gpu.why_not}});
  }
  return nlohmann::json{{"gpus", gpus}, {"why_none", survey.why_none}, {"hint", survey.hint}}
      .dump();
}

}  // namespace finescale
