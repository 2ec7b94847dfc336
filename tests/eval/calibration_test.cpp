// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/calibration.h"

#include <gtest/gtest.h>

#include "worker/eval/suites.h"

namespace finescale {
namespace {

TEST(Calibration, IsTheDistanceWithinBins) {
  // Bin 0.9: mean 0.95, half right; bin 0.2: mean 0.25, none right.
  const Calibration c = calibrate({0.96, 0.94, 0.25, 0.25}, {true, false, false, false});
  EXPECT_NEAR(c.error, 0.5 * (0.95 - 0.5) + 0.5 * 0.25, 1e-12);
  EXPECT_NEAR(c.confidence, 0.6, 1e-12);
  EXPECT_NEAR(c.brier, (0.04 * 0.04 + 0.94 * 0.94 + 2 * 0.0625) / 4, 1e-12);
  EXPECT_EQ(c.n, 4);
}

TEST(Calibration, SureAndRightIsNoError) {
  const Calibration c = calibrate({1, 1, 0}, {true, true, false});
  EXPECT_EQ(c.error, 0);
  EXPECT_EQ(c.brier, 0);
  EXPECT_EQ(calibrate({}, {}).n, 0);
}

// Sets of 10 and 30 examples: the mean is by examples, of all and of each tag.
TEST(Suites, PoolTheSetsOfATag) {
  config::EvaluateSpec spec;
  spec.mutable_evaluate()->add_metrics("accuracy");
  proto::StageResult result;
  const auto add = [&](const char* name, std::vector<const char*> tags, double value, int n) {
    config::DatasetRef& set = *spec.add_sets();
    set.set_name(name);
    for (const char* tag : tags) {
      set.add_tags(tag);
    }
    proto::EvalRow& row = *result.add_evals();
    row.set_set(name);
    row.set_metric("accuracy");
    row.set_value(value);
    row.set_n(n);
  };
  add("a", {"hard"}, 0.5, 10);
  add("b", {"hard", "long"}, 0.9, 30);
  add("c", {}, 0, 40);
  add_suites(spec, result);
  ASSERT_EQ(result.evals_size(), 6);
  EXPECT_EQ(result.evals(3).set(), "all-sets");
  EXPECT_NEAR(result.evals(3).value(), 32.0 / 80, 1e-12);
  EXPECT_EQ(result.evals(4).set(), "hard-sets");
  EXPECT_NEAR(result.evals(4).value(), 32.0 / 40, 1e-12);
  EXPECT_EQ(result.evals(4).n(), 40);
  EXPECT_EQ(result.evals(5).set(), "long-sets");
  EXPECT_NEAR(result.evals(5).value(), 0.9, 1e-12);
}

TEST(Suites, WithoutTagsNothingIsAdded) {
  config::EvaluateSpec spec;
  spec.add_sets()->set_name("a");
  proto::StageResult result;
  result.add_evals()->set_set("a");
  add_suites(spec, result);
  EXPECT_EQ(result.evals_size(), 1);
}

}  // namespace
}  // namespace finescale
