// SPDX-License-Identifier: Apache-2.0
// What a step multiplies, counted at the kernels, against the accounting of training FLOPs.
#include "worker/tool/step_tool.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "comm/group.h"
#include "core/error.h"

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

nlohmann::json figures(const char* precision) {
  const auto group = make_single_group();
  const nlohmann::json request = {
      {"preset", "tiny"},      {"lengths", {9, 30}}, {"steps", 2},
      {"warmup", 1},           {"curve", true},      {"sequences_per_step", 2},
      {"precision", precision}};
  return nlohmann::json::parse(step_tool(request.dump(), *group, nullptr));
}

TEST(StepTool, TakesThePrecisionOfTheTraining) {
  const auto exact = figures("f32").at("losses").get<std::vector<double>>();
  const auto wide = figures("f64").at("losses").get<std::vector<double>>();
  const auto rounded = figures("bf16").at("losses").get<std::vector<double>>();
  EXPECT_NEAR(exact[0], wide[0], 1e-5);
  EXPECT_NEAR(exact[0], rounded[0], 1e-2);
  EXPECT_NE(exact[0], rounded[0]);
  EXPECT_THROW((void)figures("f16"), Error);
}

}  // namespace
}  // namespace finescale
