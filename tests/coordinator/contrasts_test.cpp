// SPDX-License-Identifier: Apache-2.0
#include "coordinator/contrasts.h"

#include <gtest/gtest.h>

#include "configs/parse.h"

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

}  // namespace
}  // namespace finescale
