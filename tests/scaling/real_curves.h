// SPDX-License-Identifier: Apache-2.0
// Real fine-tuning curves, read where they are present: the environment variable FINESCALE_SHARED,
// else shared/ beside the source tree.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

struct RealCurve {
  std::string model;
  std::vector<LawPoint> points;  // 200 to 1,638,400 examples; D = 0 is left out
};

// flan or wmt19. Empty path: not there.
[[nodiscard]] std::filesystem::path real_curves_file(const std::string& task);
[[nodiscard]] std::vector<RealCurve> read_real_curves(const std::filesystem::path& file);

}  // namespace finescale
