// SPDX-License-Identifier: Apache-2.0
#include "coordinator/contrasts.h"

#include <cmath>

#include <gtest/gtest.h>

#include "configs/parse.h"
#include "coordinator/contrast_effects.h"

namespace finescale {
namespace {

config::Contrast parsed(const std::string& yaml) {
  config::Contrast contrast;
  parse_yaml(yaml, "contrast.yaml", contrast);
  return contrast;
}

// Loss: method a is 0.1 better at rate 1 and 0.3 worse at rate 2, for any steps; seeds differ.
std::vector<TrialRow> rows() {
  std::vector<TrialRow> rows;
  for (const char* method : {"a", "b"}) {
    for (const int rate : {1, 2}) {
      for (const int steps : {10, 20}) {
        for (const int seed : {1, 2, 3}) {
          TrialRow row;
          row.state = "done";
          row.axes = {{"train.method", method},
                      {"train.learning_rate", std::to_string(rate)},
                      {"train.steps", std::to_string(steps)},
                      {"seed", std::to_string(seed)}};
          double loss = 2 + 0.5 * seed - 0.01 * steps;
          loss += std::string(method) == "a" ? (rate == 1 ? -0.1 : 0.3) + 0.001 * seed : 0;
          row.metrics["held_out.loss"] = loss;
          rows.push_back(row);
        }
      }
    }
  }
  return rows;
}

ContrastResult result_of(const std::string& yaml, const std::vector<TrialRow>& trials) {
  config::Sweep sweep;
  *sweep.add_contrasts() = parsed(yaml);
  return decide_contrasts(sweep, trials).front();
}

constexpr const char* kArms = "difference: {of: {train.method: a}, to: {train.method: b}}";

TEST(Contrasts, TrialsAreMatchedByAllOtherAxes) {
  const ContrastResult r = result_of(
      "{name: c, metric: held_out.loss, " + std::string(kArms) + ", at: {train.learning_rate: 1}}",
      rows());
  ASSERT_EQ(r.data.effects.size(), 3U);  // one for each seed, steps averaged
  EXPECT_NEAR(r.data.effects[0], -0.099, 1e-12);
  EXPECT_NEAR(r.effect, -0.098, 1e-12);
  EXPECT_EQ(r.decision, Decision::kRefuted);  // "> 0" is the default
}

TEST(Contrasts, EachArmTakesItsBestValue) {
  const ContrastResult all =
      result_of("{name: c, metric: held_out.loss, " + std::string(kArms) + "}", rows());
  EXPECT_NEAR(all.effect, 0.102, 1e-12);  // both rates
  const ContrastResult best = result_of("{name: c, metric: held_out.loss, " + std::string(kArms) +
                                            ", best_over: [train.learning_rate], expect: '< 0'}",
                                        rows());
  EXPECT_NEAR(best.effect, -0.098, 1e-12);
  EXPECT_EQ(best.decision, Decision::kReproduced);
}

TEST(Contrasts, RatiosCompareGeometrically) {
  const ContrastResult r = result_of(
      "{name: c, metric: held_out.loss, ratio: {of: {train.steps: 20}, to: {train.steps: 10}}, "
      "expect: '< 1'}",
      rows());
  EXPECT_LT(r.effect, 1);
  EXPECT_GT(r.effect, 0.9);
  EXPECT_EQ(r.decision, Decision::kReproduced);
}

TEST(Contrasts, ATrialWithoutResultLeavesItUndecided) {
  std::vector<TrialRow> trials = rows();
  trials[0].state = "failed";
  const ContrastResult r =
      result_of("{name: c, metric: held_out.loss, " + std::string(kArms) + "}", trials);
  EXPECT_EQ(r.decision, Decision::kUndecided);
  EXPECT_EQ(r.why, "1 trials have no result");
}

TEST(Contrasts, TextAndJsonSayTheVerdict) {
  config::Sweep sweep;
  *sweep.add_contrasts() = parsed("{name: c, metric: held_out.loss, " + std::string(kArms) +
                                  ", best_over: [train.learning_rate], expect: '< 0'}");
  sweep.mutable_study()->set_number(7);
  sweep.mutable_study()->set_claim("a is better");
  const auto results = decide_contrasts(sweep, rows());
  EXPECT_NE(contrasts_text(sweep, results).find("verdict: reproduced"), std::string::npos);
  EXPECT_NE(contrasts_json(sweep, results).find("\"verdict\": \"reproduced\""), std::string::npos);
}

// Loss falls as 1 / budget; method a needs half the data of b, times a factor of the seed.
std::vector<TrialRow> learning_curves() {
  std::vector<TrialRow> rows;
  for (const char* method : {"a", "b"}) {
    for (const int budget : {100, 200, 400, 800}) {
      for (const int seed : {1, 2, 3}) {
        TrialRow row;
        row.state = "done";
        row.axes = {{"train.method", method},
                    {"train.data_budget", std::to_string(budget)},
                    {"seed", std::to_string(seed)}};
        const double factor = std::string(method) == "a" ? 1 + 0.01 * seed : 2;
        row.metrics["held_out.loss"] = 100 * factor / budget;
        row.metrics["held_out.accuracy"] = 1 - row.metrics["held_out.loss"] / 4;
        rows.push_back(row);
      }
    }
  }
  return rows;
}

ContrastResult of_curves(const std::string& kind, const std::string& metric = "held_out.loss",
                         const std::string& rest = "") {
  config::Sweep sweep;
  sweep.add_axes()->set_path("train.data_budget");
  *sweep.add_contrasts() = parsed("{name: c, metric: " + metric + ", " + kind + rest + "}");
  return decide_contrasts(sweep, learning_curves()).front();
}

TEST(Contrasts, DataToReachIsARatioOfBudgets) {
  const std::string arms = "of: {train.method: a}, to: {train.method: b}";
  const ContrastResult r =
      of_curves("data_to_reach: {" + arms + ", value: 0.4}", "held_out.loss", ", expect: '< 1'");
  EXPECT_NEAR(r.effect, 0.5, 0.05);  // on lines in ln D between the budgets
  EXPECT_EQ(r.decision, Decision::kReproduced);
  // b stays above 0.25 - and a reaches it: at least that much less.
  const ContrastResult far =
      of_curves("data_to_reach: {" + arms + ", value: 0.2}", "held_out.loss", ", expect: '< 1'");
  EXPECT_EQ(far.decision, Decision::kReproduced);
  const ContrastResult never = of_curves("data_to_reach: {" + arms + ", value: 0.01}");
  EXPECT_EQ(never.decision, Decision::kUndecided);
  EXPECT_EQ(never.why,
            "neither arm reaches the value, or trials of one have no match in the other");
}

TEST(Contrasts, InteractionIsADifferenceOfDifferences) {
  const ContrastResult r = of_curves(
      "interaction: {of: {train.method: b}, to: {train.method: a}, first: {train.data_budget: "
      "100}, "
      "second: {train.data_budget: 400}}");
  // 2 - f at 100, a quarter of that at 400; f is 1.02 on average.
  EXPECT_NEAR(r.effect, 0.98 - 0.245, 1e-9);
  EXPECT_EQ(r.decision, Decision::kReproduced);
}

TEST(Contrasts, RankCorrelationIsByRanks) {
  EXPECT_NEAR(
      of_curves("spearman: train.data_budget", "held_out.accuracy", ", at: {train.method: a}")
          .effect,
      1, 1e-12);
  EXPECT_NEAR(of_curves("spearman: held_out.loss", "held_out.accuracy", ", expect: '< 0'").effect,
              -1, 1e-12);
  EXPECT_NEAR(rank_correlation({1, 2, 3, 4, 5}, {2, 1, 4, 3, 5}), 0.8, 1e-12);  // 1 - 6*4/120
  EXPECT_NEAR(rank_correlation({1, 1, 2}, {1, 2, 3}), std::sqrt(0.75), 1e-12);
  EXPECT_EQ(rank_correlation({1, 1}, {1, 2}), 0);
}

TEST(Contrasts, TheOptimumIsAPlaceOnAnAxis) {
  EXPECT_EQ(of_curves("optimum_at: train.data_budget").effect, 800);
  EXPECT_EQ(of_curves("optimum_at: train.data_budget", "held_out.accuracy").effect, 800);
}

TEST(Contrasts, DominanceIsDecidedWhereItIsLeast) {
  const ContrastResult r = of_curves("dominates: {of: {train.method: a}, to: {train.method: b}}");
  EXPECT_NEAR(r.effect, (2 - 1.02) / 8, 1e-9);  // at the largest budget
  EXPECT_EQ(r.decision, Decision::kReproduced);
  EXPECT_EQ(of_curves("dominates: {of: {train.method: b}, to: {train.method: a}}").decision,
            Decision::kRefuted);
}

TEST(Contrasts, CurvesAreReadBetweenTheirPoints) {
  EXPECT_NEAR(*reached_at({{400, 1}, {100, 3}}, 2), 200, 1e-9);
  EXPECT_EQ(*reached_at({{100, 3}, {400, 1}}, 5), 100);
  EXPECT_FALSE(reached_at({{100, 3}, {400, 1}}, 0.5).has_value());
}

TEST(Contrasts, APlanSaysWhichCannotBeDecided) {
  const auto lines = [](const std::string& seeds) {
    config::Sweep sweep;
    parse_yaml(
        "name: order\n"
        "base: {preset: tiny}\n"
        "data: {train: {path: a.jsonl}}\n"
        "trial: {stages: [{train: {}}]}\n"
        "axes: {train.steps: [10, 20, 40], seed: " +
            seeds +
            "}\n"
            "contrasts:\n"
            "  - {name: order, metric: held_out.loss, spearman: train.steps}\n"
            "  - {name: place, metric: held_out.loss, optimum_at: train.steps}\n"
            "  - {name: gap, metric: held_out.loss, difference: {of: {train.steps: 20}, "
            "to: {train.steps: 10}}}\n",
        "sweep.yaml", sweep);
    return undecidable_contrasts(sweep);
  };
  ASSERT_EQ(lines("[1]").size(), 3U);
  ASSERT_EQ(lines("[1, 2, 3]").size(), 2U);
  EXPECT_EQ(lines("[1, 2, 3]").front(),
            "contrast order cannot be decided with 3 seeds: it takes 7");
  EXPECT_TRUE(lines("[1, 2, 3, 4, 5, 6, 7]").empty());
}

}  // namespace
}  // namespace finescale
