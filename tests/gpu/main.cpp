// SPDX-License-Identifier: Apache-2.0
// Skipped with the reason, exit code 77, where no GPU can be used.
#include <cstdio>

#include <gtest/gtest.h>

#include "core/gpu.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const finescale::GpuSurvey survey = finescale::survey_gpus();
  if (!survey.usable()) {
    std::printf("skipped: %s\n", survey.why_none.c_str());
    return 77;
  }
  return RUN_ALL_TESTS();
}
