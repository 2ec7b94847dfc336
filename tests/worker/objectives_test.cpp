// SPDX-License-Identifier: Apache-2.0
// Objectives of preferences: values worked out by hand, derivatives against differences.
#include "worker/objectives/objective.h"

#include <cmath>

#include <gtest/gtest.h>

namespace finescale {
namespace {

// log p: -4 of 4 tokens against -6 of 3; the reference gave -5 and -5.5.
const Answer kChosen{-4, -5, 4};
const Answer kRejected{-6, -5.5, 3};
// h = (-4 + 5) - (-6 + 5.5) = 1.5

PairLoss loss_of(const config::Objective& config) {
  return make_objective(config)->pair_loss(kChosen, kRejected);
}

void expect_derivatives(const config::Objective& config) {
  const auto objective = make_objective(config);
  const PairLoss at = objective->pair_loss(kChosen, kRejected);
  const double h = 1e-6;
  const auto moved = [&](double chosen, double rejected) {
    Answer a = kChosen;
    Answer b = kRejected;
    a.log_prob += chosen;
    b.log_prob += rejected;
    return objective->pair_loss(a, b).loss;
  };
  EXPECT_NEAR(at.chosen, (moved(h, 0) - moved(-h, 0)) / (2 * h), 1e-8);
  EXPECT_NEAR(at.rejected, (moved(0, h) - moved(0, -h)) / (2 * h), 1e-8);
}

TEST(Dpo, SigmoidIsTheLogisticLossOfTheMargin) {
  config::Objective config;
  config.mutable_dpo()->set_beta(0.4);  // beta h = 0.6
  EXPECT_NEAR(loss_of(config).loss, std::log1p(std::exp(-0.6)), 1e-15);
  EXPECT_NEAR(loss_of(config).loss, 0.4374879504858856, 1e-12);
  expect_derivatives(config);
  config.mutable_dpo()->set_label_smoothing(0.1);
  EXPECT_NEAR(loss_of(config).loss,
              0.9 * std::log1p(std::exp(-0.6)) + 0.1 * std::log1p(std::exp(0.6)), 1e-15);
  expect_derivatives(config);
}

TEST(Kto, EveryAnswerIsHeldAgainstItsBaseline) {
  config::Objective config;
  config.mutable_kto()->set_beta(0.5);
  config.mutable_kto()->set_desirable_weight(1.5);
  // r = 1 and -0.5; sigmoid(-0.5), sigmoid(-0.25).
  EXPECT_NEAR(loss_of(config).loss, (1.5 * 0.3775406687981454 + 0.4378234991142019) / 2, 1e-12);
  expect_derivatives(config);
  Answer chosen = kChosen;
  Answer rejected = kRejected;
  chosen.baseline = 0.4;    // sigmoid(-0.5 (1 - 0.4))
  rejected.baseline = 0.2;  // sigmoid(-0.5 (0.2 + 0.5))
  EXPECT_NEAR(make_objective(config)->pair_loss(chosen, rejected).loss,
              (1.5 * 0.425557483188341 + 0.4133824210826311) / 2, 1e-12);
}

TEST(Cpo, IsTheLogisticLossOfTheDifferenceAndALikelihood) {
  config::Objective config;
  config.mutable_cpo()->set_beta(0.3);  // x = 0.3 (-4 + 6)
  config.mutable_cpo()->set_weight(0.5);
  EXPECT_NEAR(loss_of(config).loss, std::log1p(std::exp(-0.6)) + 0.5, 1e-15);
  expect_derivatives(config);
}

TEST(Dpo, HingeIsZeroBeyondOne) {
  config::Objective config;
  config.mutable_dpo()->set_loss(config::DPO_LOSS_HINGE);
  config.mutable_dpo()->set_beta(0.4);
  EXPECT_NEAR(loss_of(config).loss, 0.4, 1e-15);
  expect_derivatives(config);
  config.mutable_dpo()->set_beta(0.8);  // beta h = 1.2
  EXPECT_EQ(loss_of(config).loss, 0);
  EXPECT_EQ(loss_of(config).chosen, 0);
}

TEST(Dpo, IpoIsTheSquaredDistanceToTheMarginByToken) {
  config::Objective config;
  config.mutable_dpo()->set_loss(config::DPO_LOSS_IPO);
  config.mutable_dpo()->set_beta(2);  // margin 1/4; h = 1/4 + 1/6
  EXPECT_NEAR(loss_of(config).loss, 1.0 / 36, 1e-15);
  expect_derivatives(config);
}

TEST(Simpo, ComparesByToken) {
  config::Objective config;
  config.mutable_simpo()->set_beta(2);
  config.mutable_simpo()->set_margin(0.5);  // 2 (-1 + 2) - 0.5
  EXPECT_NEAR(loss_of(config).loss, std::log1p(std::exp(-1.5)), 1e-15);
  expect_derivatives(config);
}

TEST(Orpo, AddsTheOddsToTheLikelihood) {
  config::Objective config;
  config.mutable_orpo()->set_weight(0.25);
  const double up = std::exp(-1.0);
  const double down = std::exp(-2.0);
  const double odds = std::log(up / (1 - up)) - std::log(down / (1 - down));
  EXPECT_NEAR(loss_of(config).loss, 1 + 0.25 * std::log1p(std::exp(-odds)), 1e-14);
  expect_derivatives(config);
  const auto objective = make_objective(config);  // a certain answer is no infinity
  EXPECT_TRUE(std::isfinite(objective->pair_loss({0, 0, 4}, kRejected).chosen));
}

TEST(LogSigmoid, DoesNotOverflow) {
  EXPECT_EQ(log_sigmoid(-1000), -1000);
  EXPECT_EQ(log_sigmoid(1000), 0);
  EXPECT_EQ(sigmoid(-1000), 0);
  EXPECT_EQ(sigmoid(1000), 1);
  EXPECT_NEAR(log_sigmoid(0), -std::log(2), 1e-16);
}

}  // namespace
}  // namespace finescale
