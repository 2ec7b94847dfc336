// SPDX-License-Identifier: Apache-2.0
// What single methods promise beyond what holds for all of them.
#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"
#include "tests/worker/model_fixture.h"
#include "worker/methods/singular_values.h"

namespace finescale {
namespace {

std::vector<double> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Random random(seed, Purpose::kTest);
  std::vector<double> matrix(static_cast<std::size_t>(rows * cols));
  for (double& value : matrix) {
    value = random.normal();
  }
  return matrix;
}

double distance(const std::vector<double>& matrix, const LowRankFactors& f, std::int64_t rows,
                std::int64_t cols, std::int64_t rank) {
  double squares = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      double product = 0;
      for (std::int64_t k = 0; k < rank; ++k) {
        product += f.left[static_cast<std::size_t>(i * rank + k)] *
                   f.right[static_cast<std::size_t>(k * cols + j)];
      }
      squares += std::pow(matrix[static_cast<std::size_t>(i * cols + j)] - product, 2);
    }
  }
  return std::sqrt(squares);
}

TEST(SingularValues, FullRankIsTheMatrix) {
  for (const auto& [rows, cols] : {std::pair{7, 5}, {5, 7}, {1, 4}, {40, 33}}) {
    const std::vector<double> matrix = random_matrix(rows, cols, 1);
    const std::int64_t rank = std::min(rows, cols);
    EXPECT_LT(distance(matrix, principal_factors(matrix, rows, cols, rank), rows, cols, rank),
              1e-12 * std::sqrt(rows * cols));
  }
}

// A matrix of rank 5 with noise: both ways to compute find the same directions.
TEST(SingularValues, TheRandomisedWayFindsTheLargest) {
  const std::int64_t rows = 90;
  const std::int64_t cols = 120;
  const std::vector<double> left = random_matrix(rows, 5, 2);
  const std::vector<double> right = random_matrix(5, cols, 3);
  std::vector<double> matrix = random_matrix(rows, cols, 4);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      double& value = matrix[static_cast<std::size_t>(i * cols + j)];
      value *= 1e-3;
      for (std::int64_t k = 0; k < 5; ++k) {
        value += left[static_cast<std::size_t>(i * 5 + k)] *
                 right[static_cast<std::size_t>(k * cols + j)];
      }
    }
  }
  const LowRankFactors few = principal_factors(matrix, rows, cols, 5);   // 13 directions of 90
  const LowRankFactors all = principal_factors(matrix, rows, cols, 60);  // all of them
  for (std::int64_t k = 0; k < 5; ++k) {
    for (std::int64_t i = 0; i < rows; ++i) {
      EXPECT_NEAR(few.left[static_cast<std::size_t>(i * 5 + k)],
                  all.left[static_cast<std::size_t>(i * 60 + k)], 1e-9);
    }
  }
  EXPECT_LT(distance(matrix, few, rows, cols, 5), 1e-3 * std::sqrt(rows * cols));
}

// The loss of a whole model with a fresh adapter.
double first_loss(const config::Method& config) {
  ModelLayout layout(model_test::model_config({.kv_heads = 2}));
  ParameterSet weights(DType::kF64);
  layout.declare(weights);
  weights.allocate();
  initialize_weights(layout, 3, weights);
  const std::unique_ptr<Method> method = make_method(config, layout, weights, 7);
  Transformer model(layout, weights);
  model.set_adapters(method->adapters());
  return model.forward_loss(model_test::make_batch(), 64);
}

TEST(Methods, StartAsTheBase) {
  config::Method full;
  full.mutable_full();
  config::Method lora;
  lora.mutable_lora()->set_rank(3);
  config::Method pissa = lora;
  pissa.mutable_lora()->set_init(config::LORA_INIT_PISSA);
  pissa.mutable_lora()->set_scale(config::LORA_SCALE_ROOT);
  config::Method dora;
  dora.mutable_dora()->set_rank(3);
  config::Method ia3;
  ia3.mutable_ia3();
  const double base = first_loss(full);
  EXPECT_EQ(first_loss(lora), base);
  EXPECT_EQ(first_loss(ia3), base);
  EXPECT_NEAR(first_loss(pissa), base, 1e-12 * base);
  EXPECT_NEAR(first_loss(dora), base, 1e-12 * base);
}

TEST(Methods, StepsOfAlloraShrinkAsRowsGrow) {
  ModelLayout layout(model_test::model_config({}));
  ParameterSet weights(DType::kF64);
  layout.declare(weights);
  weights.allocate();
  config::Method config;
  config.mutable_allora()->set_rank(2);
  config.mutable_allora()->set_eta(4);
  const std::unique_ptr<Method> method = make_method(config, layout, weights, 7);
  const ParameterSet& set = method->trainable();
  const int b = set.find("model.layers.0.self_attn.q_proj/B");
  ASSERT_GE(b, 0);
  EXPECT_TRUE(method->step_scale(set.find("model.layers.0.self_attn.q_proj/A")).is_one());
  EXPECT_DOUBLE_EQ(method->step_scale(b).rows[1], 4);  // eta out of the start
  set.view(b).as<double>()[2] = 3;
  set.view(b).as<double>()[3] = 4;
  method->values_changed();
  EXPECT_DOUBLE_EQ(method->step_scale(b).rows[0], 4);
  EXPECT_DOUBLE_EQ(method->step_scale(b).rows[1], 1 / std::sqrt(5 + 1.0 / 16));
}

TEST(Methods, LoraPlusMovesBFaster) {
  ModelLayout layout(model_test::model_config({}));
  ParameterSet weights(DType::kF32);
  layout.declare(weights);
  weights.allocate();
  config::Method config;
  config.mutable_lora()->set_b_rate(16);
  const std::unique_ptr<Method> method = make_method(config, layout, weights, 7);
  const ParameterSet& set = method->trainable();
  EXPECT_EQ(method->step_scale(set.find("model.layers.1.mlp.up_proj/A")).rate, 1);
  EXPECT_EQ(method->step_scale(set.find("model.layers.1.mlp.up_proj/B")).rate, 16);
}

}  // namespace
}  // namespace finescale
