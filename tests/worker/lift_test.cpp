// SPDX-License-Identifier: Apache-2.0
// Masks of sparse fine-tuning: what they choose, and that nothing else moves.
#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "tests/worker/kind_fixture.h"
#include "worker/methods/mask_policy.h"

namespace finescale::kind_test {
namespace {

std::vector<double> random_matrix(std::int64_t rows, std::int64_t cols) {
  std::vector<double> values(static_cast<std::size_t>(rows * cols));
  Random random(4, Purpose::kTest);
  for (double& value : values) {
    value = random.normal();
  }
  return values;
}

TEST(Masks, FullRankIsTheMaskOfMagnitudesExactly) {
  const std::vector<double> w = random_matrix(12, 20);
  const MaskInput input{.values = &w, .rows = 12, .cols = 20};
  config::Lift config;
  config.set_mask(config::LIFT_MASK_MAGNITUDE);
  const std::vector<std::int64_t> wanted = highest(mask_scores(config, input), 24);
  config.set_mask(config::LIFT_MASK_LOW_RANK);
  for (const int rank : {12, 32}) {
    config.set_rank(rank);
    EXPECT_EQ(highest(mask_scores(config, input), 24), wanted);
  }
  config.set_rank(2);
  EXPECT_NE(highest(mask_scores(config, input), 24), wanted);
}

// W = u v^T with one loud element that rank 1 does not see as loud.
TEST(Masks, LowRankSeesWhatTheMatrixHasInCommon) {
  std::vector<double> w = {1, 2, 3, 2, 4, 6, 3, 6, 9};
  w[0] += 0.5;
  config::Lift config;
  config.set_rank(1);
  const std::vector<double> scores = mask_scores(config, {.values = &w, .rows = 3, .cols = 3});
  EXPECT_EQ(highest(scores, 3), (std::vector<std::int64_t>{5, 7, 8}));
  EXPECT_LT(scores[0], 1.5);
}

TEST(Masks, GradientAndMovementAsDefined) {
  const std::vector<double> w = {1, -2, 3, -4};
  const std::vector<double> g = {-3, 0.5, 2, 1};
  const MaskInput input{.values = &w, .gradient = &g, .rows = 2, .cols = 2};
  config::Lift config;
  config.set_mask(config::LIFT_MASK_GRADIENT);
  EXPECT_EQ(mask_scores(config, input), (std::vector<double>{3, 0.5, 2, 1}));
  config.set_mask(config::LIFT_MASK_MOVEMENT);
  EXPECT_EQ(mask_scores(config, input), (std::vector<double>{3, 1, -6, 4}));
  EXPECT_EQ(highest({1, 3, 3, 2}, 2), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(highest({3, 3, 3, 2}, 2), (std::vector<std::int64_t>{0, 1}));
}

TEST(Masks, RandomOnesCoverAMatrixEvenly) {
  const std::vector<double> w = random_matrix(40, 50);
  config::Lift config;
  config.set_mask(config::LIFT_MASK_RANDOM);
  const auto of = [&](std::uint64_t seed) {
    return highest(mask_scores(config, {.values = &w, .rows = 40, .cols = 50, .seed = seed}), 200);
  };
  EXPECT_EQ(of(1), of(1));
  EXPECT_NE(of(1), of(2));
  const std::vector<std::int64_t> chosen = of(1);
  const auto upper = std::count_if(chosen.begin(), chosen.end(), [](auto i) { return i < 1000; });
  EXPECT_NEAR(static_cast<double>(upper), 100, 30);
}

// Elements of the base that differ from where they started, by tensor.
std::map<std::string, std::set<std::int64_t>> moved(const BasePiece& piece,
                                                    const std::vector<std::vector<float>>& before) {
  std::map<std::string, std::set<std::int64_t>> all;
  for (int index = 0; index < piece.weights.size(); ++index) {
    const TensorView value = piece.weights.view_in(piece.store.blocks(), index);
    for (std::int64_t i = 0; i < value.num_elements(); ++i) {
      if (value.as<float>()[i] !=
          before[static_cast<std::size_t>(index)][static_cast<std::size_t>(i)]) {
        all[piece.weights.tensor(index).name].insert(i);
      }
    }
  }
  return all;
}

std::vector<std::vector<float>> values_of(const BasePiece& piece) {
  std::vector<std::vector<float>> all;
  for (int index = 0; index < piece.weights.size(); ++index) {
    const TensorView value = piece.weights.view_in(piece.store.blocks(), index);
    all.emplace_back(value.as<float>(), value.as<float>() + value.num_elements());
  }
  return all;
}

TEST(Lift, OnlyElementsOfTheMaskMove) {
  for (const char* name : {"lift", "lift_mask_2", "lift_mask_3", "lift_mask_4", "lift_mask_5"}) {
    SCOPED_TRACE(name);
    const auto single = make_single_group();
    TrainedRun run(*single, {.method = find(methods(), name)});
    const BasePiece& piece = *run.base->pieces.front();
    const auto before = values_of(piece);
    run.steps(0, 3);
    const auto changed = moved(piece, before);
    EXPECT_EQ(changed.size(), 4U * 7);
    ParameterSet& places = *run.model->method().constants();
    for (const auto& [tensor, elements] : changed) {
      const int index = places.find(tensor.substr(0, tensor.rfind('.')) + "/places");
      ASSERT_GE(index, 0) << tensor;
      const TensorView place = places.view(index);
      const std::int64_t cols = piece.weights.tensor(piece.weights.find(tensor)).shape[1];
      std::set<std::int64_t> wanted;
      for (std::int64_t i = 0; i < place.rows(); ++i) {
        wanted.insert(static_cast<std::int64_t>(place.as<float>()[2 * i]) * cols +
                      static_cast<std::int64_t>(place.as<float>()[2 * i + 1]));
      }
      EXPECT_EQ(elements, wanted) << tensor;
      EXPECT_EQ(
          std::ssize(wanted),
          std::llround(0.05 *
                       static_cast<double>(
                           piece.weights.tensor(piece.weights.find(tensor)).shape.num_elements())));
    }
  }
}

// With every element chosen it is full fine-tuning of the matrices, whatever the mask, and a choice
// made anew changes nothing.
TEST(Lift, WithEveryElementItIsTheTrainingOfTheMatrices) {
  const auto single = make_single_group();
  const auto left_by = [&](Kind method) {
    TrainedRun run(*single, {.method = std::move(method)});
    run.steps(0, 5);
    return values_of(*run.base->pieces.front());
  };
  Kind lift = find(methods(), "lift");
  lift.adjust = [](Message& message) {
    auto& config = static_cast<config::Lift&>(message);
    config.set_density(1);
    config.set_refresh(2);
  };
  Kind selective = find(methods(), "selective");
  selective.adjust = [](Message& message) {
    auto& config = static_cast<config::Selective&>(message);
    config.clear_parameters();
    config.add_parameters("*_proj.weight");
  };
  EXPECT_TRUE(left_by(lift) == left_by(selective));
}

}  // namespace
}  // namespace finescale::kind_test
