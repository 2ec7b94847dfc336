// SPDX-License-Identifier: Apache-2.0
// What a step multiplies, counted at the kernels, against the accounting of training FLOPs.
#include "worker/tool/step_tool.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "comm/group.h"

namespace finescale {
namespace {

// configs/presets/tiny.yaml
constexpr double kVocab = 512, kWidth = 64, kLayers = 2, kInner = 192;
constexpr double kQkv = 3 * kWidth * kWidth;
constexpr double kMatrices = kLayers * (kQkv + kWidth * kWidth + 3 * kWidth * kInner);
constexpr int kSteps = 3;
constexpr double kTokens = kSteps * (9 + 30 + 64 + 17.0);
constexpr double kLabels = kTokens - kSteps * 4;  // all but the first of each example

double product_flops(const std::string& method) {
  const auto group = make_single_group();
  KernelProfile profile;
  const nlohmann::json request = {{"preset", "tiny"},           {"method", method},
                                  {"lengths", {9, 30, 64, 17}}, {"sequences_per_step", 4},
                                  {"steps", kSteps + 1},        {"warmup", 1},
                                  {"micro_batch_tokens", 64}};
  (void)step_tool(request.dump(), *group, &profile);
  double flops = 0;
  for (const KernelProfile::Row& row : profile.rows()) {
    flops += row.name.starts_with("gemm") ? row.flops : 0;
  }
  return flops;
}

TEST(StepTool, FullTrainingMultipliesWhatIsAccounted) {
  EXPECT_EQ(product_flops("full"), 6 * kMatrices * kTokens + 6 * kVocab * kWidth * kLabels);
}

TEST(StepTool, FrozenTrainingMultipliesWhatIsAccountedButNothingBelowTheFirstAdapter) {
  constexpr double kRank = 8;
  // A of q, k, v; o; gate, up; down, and their B.
  constexpr double kFirstA = 3 * kRank * kWidth;
  constexpr double kAdapter =
      kLayers * kRank *
      (3 * (kWidth + kWidth) + (kWidth + kWidth) + 2 * (kWidth + kInner) + (kInner + kWidth));
  EXPECT_EQ(product_flops("lora"), (4 * kMatrices + 6 * kAdapter) * kTokens +
                                       4 * kVocab * kWidth * kLabels -
                                       2 * (kQkv + kFirstA) * kTokens);
}

}  // namespace
}  // namespace finescale
