// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <gtest/gtest.h>

#include "coordinator/scaling/contrast.h"
#include "coordinator/scaling/student_t.h"

namespace finescale {
namespace {

// Tables of the distribution.
TEST(StudentT, AgreesWithTables) {
  EXPECT_NEAR(student_t_quantile(0.975, 1), 12.7062047, 1e-6);
  EXPECT_NEAR(student_t_quantile(0.975, 2), 4.3026527, 1e-6);
  EXPECT_NEAR(student_t_quantile(0.95, 10), 1.8124611, 1e-6);
  EXPECT_NEAR(student_t_quantile(0.995, 30), 2.7499957, 1e-6);
  EXPECT_NEAR(student_t_cdf(0, 5), 0.5, 1e-15);
  EXPECT_NEAR(student_t_cdf(1, 1), 0.75, 1e-12);  // Cauchy: 1/2 + atan(1) / pi
  EXPECT_NEAR(student_t_cdf(-2, 3) + student_t_cdf(2, 3), 1, 1e-14);
}

ContrastData rule(std::vector<double> effects) {
  ContrastData data;
  data.name = "rule";
  data.effects = std::move(effects);
  return data;
}

TEST(Contrast, AClearEffectIsDecidedEitherWay) {
  ContrastData more = rule({0.10, 0.12, 0.11});
  ContrastData less = more;
  less.expects_more = false;
  const auto results = decide({more, less});
  EXPECT_EQ(results[0].decision, Decision::kReproduced);
  EXPECT_EQ(results[1].decision, Decision::kRefuted);
  EXPECT_NEAR(results[0].effect, 0.11, 1e-12);
  EXPECT_NEAR(results[0].low, 0.11 - 4.3026527 * 0.01 / std::sqrt(3.0), 1e-6);
  EXPECT_NEAR(results[0].effect_size, 11, 1e-9);
  EXPECT_EQ(overall(results), Decision::kRefuted);
}

TEST(Contrast, NoiseIsUndecided) {
  const auto results = decide({rule({0.1, -0.1, 0.05})});
  EXPECT_EQ(results[0].decision, Decision::kUndecided);
  EXPECT_EQ(overall(results), Decision::kUndecided);
}

// p = 0.03 alone: decided by itself, not among three.
TEST(Contrast, ManyRulesAreCorrected) {
  const std::vector<double> effects = {0.5, 1.0, 1.2};
  const auto alone = decide({rule(effects)});
  ASSERT_EQ(alone[0].decision, Decision::kReproduced) << alone[0].p;
  const auto among = decide({rule(effects), rule({1, -1, 0.2}), rule({-1, 1, 0.1})});
  EXPECT_NEAR(among[0].p, 3 * alone[0].p, 1e-12);
  EXPECT_EQ(among[0].decision, Decision::kUndecided);
  EXPECT_GE(among[1].p, among[0].p);
}

TEST(Contrast, OneSeedAndMissingTrialsDecideNothing) {
  EXPECT_EQ(decide({rule({1})})[0].decision, Decision::kUndecided);
  EXPECT_EQ(decide({rule({})})[0].decision, Decision::kUndecided);
  ContrastData missing = rule({1, 1, 1.1});
  missing.why_not = "2 trials have no result";
  EXPECT_EQ(decide({missing})[0].why, "2 trials have no result");
  EXPECT_EQ(overall({}), Decision::kUndecided);
}

TEST(Contrast, SeedsThatAgreeToTheBitDecide) {
  EXPECT_EQ(decide({rule({0.5, 0.5})})[0].decision, Decision::kReproduced);
  EXPECT_EQ(decide({rule({-0.5, -0.5})})[0].decision, Decision::kRefuted);
}

// A rank correlation is at most 1, and so is the end of its interval.
TEST(Contrast, AnIntervalEndsWhereEffectsDo) {
  ContrastData ranks = rule({1, 1, 0.4});
  EXPECT_GT(decide({ranks})[0].high, 1);
  ranks.most = 1;
  EXPECT_EQ(decide({ranks})[0].high, 1);
  EXPECT_NEAR(decide({ranks})[0].low, 0.8 - 4.3026527 * 0.2, 1e-6);
}

// Three seeds have the same order of three budgets by chance once in 36 times.
TEST(Contrast, SeedsThatAgreeInRanksDoNot) {
  ContrastData ranks = rule({1, 1, 1});
  ranks.takes_few_values = true;
  ranks.bound = 0.7;
  EXPECT_EQ(decide({ranks})[0].decision, Decision::kUndecided);
  EXPECT_DOUBLE_EQ(decide({ranks})[0].p, 0.25);
  ranks.effects.assign(6, 1.0);
  EXPECT_EQ(decide({ranks})[0].decision, Decision::kReproduced);
  EXPECT_DOUBLE_EQ(decide({ranks})[0].p, 2.0 / 64);
  ranks.effects = {1, 1, 1, 1, 1, 0.999};  // as good as equal: t alone would say 1e-15
  EXPECT_DOUBLE_EQ(decide({ranks})[0].p, 2.0 / 64);
  EXPECT_EQ(seeds_needed(ranks, 1), 6U);
  EXPECT_EQ(seeds_needed(ranks, 3), 7U);
  EXPECT_EQ(seeds_needed(rule({}), 3), 2U);
  ranks.effects.assign(6, 0.7);
  EXPECT_EQ(decide({ranks})[0].decision, Decision::kUndecided);
}

TEST(Contrast, RatiosAreMeasuredInLogarithms) {
  ContrastData ratio = rule({std::log(2.0), std::log(2.1), std::log(1.9)});
  ratio.is_ratio = true;
  ratio.bound = 1.5;
  const auto results = decide({ratio});
  EXPECT_EQ(results[0].decision, Decision::kReproduced);
  EXPECT_NEAR(results[0].effect, std::cbrt(2 * 2.1 * 1.9), 1e-12);
  EXPECT_EQ(rule_text(ratio), "> 1.5");
}

TEST(Contrast, EquivalenceNeedsTheWholeIntervalInside) {
  ContrastData same = rule({0.001, -0.002, 0.0005});
  same.is_equivalence = true;
  same.bound = 0.02;
  EXPECT_EQ(decide({same})[0].decision, Decision::kReproduced);
  same.effects = {0.03, -0.03, 0.01};
  EXPECT_EQ(decide({same})[0].decision, Decision::kUndecided);
  same.effects = {0.1, 0.11, 0.105};
  EXPECT_EQ(decide({same})[0].decision, Decision::kRefuted);
}

}  // namespace
}  // namespace finescale
