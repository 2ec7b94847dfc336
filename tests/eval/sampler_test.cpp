// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/sampler.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

TensorView view_of(std::vector<float>& logits) {
  return {logits.data(), DType::kF32, Shape{1, static_cast<std::int64_t>(logits.size())}};
}

SamplingOptions options_of(const nlohmann::json& json) {
  SamplingOptions options;
  options.temperature = json.value("temperature", 1.0);
  options.top_k = json.value("top_k", 0);
  options.top_p = json.value("top_p", 1.0);
  options.min_p = json.value("min_p", 0.0);
  options.repetition_penalty = json.value("repetition_penalty", 1.0);
  return options;
}

// What make_sampler_reference.py wrote.
TEST(Sampler, LeavesWhatTheReferenceLeaves) {
  const nlohmann::json reference = nlohmann::json::parse(
      read_file(std::string(FINESCALE_SOURCE_DIR) + "/tests/eval/sampler_reference.json"));
  for (const nlohmann::json& one : reference.at("cases")) {
    auto logits = one.at("logits").get<std::vector<float>>();
    const auto seen = one.at("seen").get<std::vector<std::int32_t>>();
    Sampler sampler(options_of(one.at("options")));
    std::map<std::int32_t, double> got;
    for (const Candidate& c : sampler.candidates(view_of(logits), seen)) {
      got[c.token] = c.probability;
    }
    const auto tokens = one.at("tokens").get<std::vector<std::int32_t>>();
    const auto probabilities = one.at("probabilities").get<std::vector<double>>();
    ASSERT_EQ(got.size(), tokens.size()) << one.at("options");
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_TRUE(got.contains(tokens[i])) << one.at("options") << " token " << tokens[i];
      EXPECT_NEAR(got[tokens[i]], probabilities[i], 1e-6) << one.at("options");
    }
  }
}

// Pearson's statistic of `draws` tokens against the exact probabilities; the bound is the 0.999
// quantile (Wilson and Hilferty 1931), and the seeds are fixed.
void expect_distribution(const SamplingOptions& options, std::vector<float> logits) {
  Sampler sampler(options);
  std::map<std::int32_t, double> expected;
  for (const Candidate& c : sampler.candidates(view_of(logits), {})) {
    expected[c.token] = c.probability;
  }
  constexpr int kDraws = 40000;
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < kDraws; ++i) {
    const double uniform = sampling_uniform(7, static_cast<std::uint64_t>(i % 200),
                                            static_cast<std::uint64_t>(i / 200));
    ++counts[sampler.choose(view_of(logits), {}, uniform)];
  }
  double statistic = 0;
  for (const auto& [token, probability] : expected) {
    const double wanted = probability * kDraws;
    statistic += std::pow(counts[token] - wanted, 2) / wanted;
  }
  EXPECT_EQ(counts.size(), expected.size());  // nothing else was drawn
  const auto freedom = static_cast<double>(expected.size() - 1);
  const double bound =
      freedom * std::pow(1 - 2 / (9 * freedom) + 3.09 * std::sqrt(2 / (9 * freedom)), 3);
  EXPECT_LT(statistic, bound);
}

TEST(Sampler, DrawsFromTheExactDistribution) {
  const std::vector<float> logits = {1.5F, 0.2F, -1.0F, 2.0F, 0.0F, -0.3F, 1.1F, -2.0F};
  expect_distribution({.temperature = 1}, logits);
  expect_distribution({.temperature = 0.6}, logits);
  expect_distribution({.temperature = 1.4, .top_k = 4}, logits);
  expect_distribution({.temperature = 1, .top_p = 0.8}, logits);
  expect_distribution({.temperature = 2, .min_p = 0.15}, logits);
}

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  std::vector<float> logits = {0.5F, 2.0F, 1.0F, 2.0F};
  Sampler sampler({});
  EXPECT_EQ(sampler.choose(view_of(logits), {}, 0.99), 1);
}

TEST(Sampler, PenaltyChangesWhatGreedyTakes) {
  std::vector<float> logits = {-1.0F, 2.0F, 1.5F, -3.0F};
  Sampler sampler({.repetition_penalty = 2});
  EXPECT_EQ(sampler.choose(view_of(logits), std::vector<std::int32_t>{1}, 0), 2);
}

TEST(Sampler, NumbersDependOnSeedPromptAndPosition) {
  EXPECT_EQ(sampling_uniform(1, 2, 3), sampling_uniform(1, 2, 3));
  EXPECT_NE(sampling_uniform(1, 2, 3), sampling_uniform(2, 2, 3));
  EXPECT_NE(sampling_uniform(1, 2, 3), sampling_uniform(1, 3, 2));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const double u = sampling_uniform(5, i, 0);
    EXPECT_GE(u, 0);
    EXPECT_LT(u, 1);
  }
}

TEST(Sampler, RefusesWhatCannotBe) {
  EXPECT_THROW(check({.temperature = -1}), Error);
  EXPECT_THROW(check({.top_p = 0}), Error);
  EXPECT_THROW(check({.top_p = 1.5}), Error);
  EXPECT_THROW(check({.min_p = 2}), Error);
  EXPECT_THROW(check({.repetition_penalty = 0}), Error);
  EXPECT_THROW(check({.top_k = -1}), Error);
  EXPECT_NO_THROW(check({}));
}

}  // namespace
}  // namespace finescale
