// SPDX-License-Identifier: Apache-2.0
// Weight surgery on small tensors, against values made by hand.
#include "worker/transforms/transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/parse.h"
#include "configs/tensor_patterns.h"

namespace finescale {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

TensorValues made(const std::string& yaml, std::vector<TensorValues> models,
                  LogicalShape tensor = {"model.layers.1.mlp.up_proj.weight", 2, 2}) {
  config::Transform config;
  parse_yaml(yaml, "test.yaml", config);
  TransformContext context;
  context.shape.num_layers = 3;
  return make_transform(config)->apply(tensor, models, context);
}

const TensorValues kA = {1, 2, 3, 4};
const TensorValues kB = {3, 2, 1, 0};

TEST(Transforms, AverageIsWeighted) {
  EXPECT_THAT(made("average: {}", {kA, kB}), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(made("average: {weights: [3, 1]}", {kA, kB}), ElementsAre(1.5, 2, 2.5, 3));
}

TEST(Transforms, TaskVectorsAreAddedAndTakenAway) {
  EXPECT_THAT(made("task_vectors: {}", {kA, kB}), ElementsAre(3, 2, 1, 0));
  EXPECT_THAT(made("task_vectors: -1", {kA, kB}), ElementsAre(-1, 2, 5, 8));
  EXPECT_THAT(made("task_vectors: [0.5, 2]", {kA, kB, kA}), ElementsAre(2, 2, 2, 2));
}

TEST(Transforms, InterpolationGoesOnBeyondItsEnds) {
  EXPECT_THAT(made("interpolate: 0", {kA, kB}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(made("interpolate: 0.25", {kA, kB}), ElementsAre(1.5, 2, 2.5, 3));
  EXPECT_THAT(made("interpolate: 2", {kA, kB}), ElementsAre(5, 2, -1, -4));
}

// The middle of three layers has the middle scale; the embedding the first, the last norm the last.
TEST(Transforms, LayerScaleIsALine) {
  const std::string lines = "layer_scale: {first: 0, last: 1}";
  EXPECT_THAT(made(lines, {kA, kB}), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(made(lines, {kA, kB}, {"model.embed_tokens.weight", 2, 2}), ElementsAre(3, 2, 1, 0));
  EXPECT_THAT(made(lines, {kA, kB}, {"model.norm.weight", 4, 0}), ElementsAre(1, 2, 3, 4));
}

TEST(Transforms, ResetTakesTheSecondOrFreshValues) {
  EXPECT_THAT(made("{reset: {}, tensors: ['*']}", {kA, kB}), ElementsAre(3, 2, 1, 0));
  const TensorValues fresh = made("{reset: {}, tensors: ['*']}", {kA});
  EXPECT_NE(fresh, kA);
  EXPECT_EQ(fresh, made("{reset: {}, tensors: ['*']}", {kB}));
  for (const double value : fresh) {
    EXPECT_LT(std::fabs(value), 0.2);
  }
}

TEST(Transforms, PruningTakesTheSmallest) {
  EXPECT_THAT(made("prune: 0.5", {{-1, 2, 0.5, -4}}), ElementsAre(0, 2, 0, -4));
  // Of the differences -2 0 2 4.
  EXPECT_THAT(made("prune: 0.75", {kA, kB}), ElementsAre(3, 2, 1, 4));
}

TEST(Transforms, TruncationIsTheBestOfItsRank) {
  const TensorValues rank_one = {1, 2, 2, 4};
  EXPECT_THAT(made("svd: 1", {rank_one}), Pointwise(DoubleNear(1e-9), rank_one));
  // diag(3, 1) keeps its larger direction.
  EXPECT_THAT(made("svd: 1", {{3, 0, 0, 1}}), Pointwise(DoubleNear(1e-9), {3.0, 0.0, 0.0, 0.0}));
  EXPECT_EQ(made("svd: 2", {kA}), kA);
}

TEST(Transforms, PruningAndTruncationTakeMatricesOfLayers) {
  config::Transform config;
  config.mutable_prune()->set_fraction(0.5);
  const auto prune = make_transform(config);
  EXPECT_TRUE(prune->takes({"model.layers.0.mlp.up_proj.weight", 2, 2}));
  EXPECT_FALSE(prune->takes({"model.layers.0.input_layernorm.weight", 2, 0}));
  EXPECT_FALSE(prune->takes({"model.embed_tokens.weight", 2, 2}));
}

TEST(TensorPatterns, StarsStandForAnything) {
  const char* name = "model.layers.1.mlp.up_proj.weight";
  EXPECT_TRUE(matches_pattern(name, "*"));
  EXPECT_TRUE(matches_pattern(name, "model.layers.*.mlp.*"));
  EXPECT_TRUE(matches_pattern(name, "*up_proj*"));
  EXPECT_FALSE(matches_pattern(name, "model.layers.1"));
  EXPECT_FALSE(matches_pattern(name, "*.bias"));
  EXPECT_TRUE(matches_pattern(name, "model*layers.1*weight*"));
  EXPECT_TRUE(matches_pattern("", "**"));
}

}  // namespace
}  // namespace finescale
