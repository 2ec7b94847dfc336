// SPDX-License-Identifier: Apache-2.0
// Each selector against a choice made by hand.
#include <gtest/gtest.h>

#include "core/error.h"
#include "worker/selection/selector.h"

namespace finescale {
namespace {

RawExample answer(const std::string& prompt, const std::string& response, double loss = 0,
                  const std::string& expected = "") {
  RawExample example;
  example.form = ExampleForm::kPromptResponse;
  example.prompt = prompt;
  example.response = response;
  example.loss = loss;
  example.expected = expected;
  return example;
}

std::string chosen(const config::Select& config, const std::vector<RawExample>& examples,
                   const SelectionContext& context = {}) {
  std::string text;
  for (const RawExample& example : make_selector(config)->select(examples, context)) {
    text += example.response + (example.rejected.empty() ? "" : "|" + example.rejected) + " ";
  }
  return text;
}

const std::vector<RawExample>& pool() {
  static const std::vector<RawExample> kPool = {answer("p", "aaa", 0.5), answer("q", "b", 0.1),
                                                answer("p", "cc", 0.2), answer("q", "dddd", 0.4)};
  return kPool;
}

TEST(Selectors, QuantilesAreOfTheOrderByLengthOrLoss) {
  config::Select length;
  length.mutable_length()->set_to(0.5);
  EXPECT_EQ(chosen(length, pool()), "b cc ");
  config::Select loss;
  loss.mutable_loss()->set_from(0.25);
  loss.mutable_loss()->set_to(0.75);
  EXPECT_EQ(chosen(loss, pool()), "cc dddd ");
  loss.mutable_loss()->set_from(0);
  loss.mutable_loss()->set_to(1);
  EXPECT_EQ(chosen(loss, pool()), "aaa b cc dddd ");
}

TEST(Selectors, GrapeTakesOthersToCompareWith) {
  config::Select grape;
  grape.mutable_grape()->set_take(config::GRAPE_TAKE_WORST);
  EXPECT_EQ(chosen(grape, pool()), "aaa dddd ");
  grape.mutable_grape()->set_take(config::GRAPE_TAKE_SHORTEST);
  EXPECT_EQ(chosen(grape, pool()), "b cc ");
  grape.mutable_grape()->set_take(config::GRAPE_TAKE_RANDOM);
  EXPECT_EQ(chosen(grape, pool()), chosen(grape, pool()));
}

TEST(Selectors, GrapeKeepsTheLikeliestOfEachPrompt) {
  config::Select config;
  config.mutable_grape();
  EXPECT_EQ(chosen(config, pool()), "b cc ");
}

TEST(Selectors, LossesThatNothingMeasuredAreAnError) {
  std::vector<RawExample> examples = {answer("p", "a"), answer("p", "b")};
  examples[1].loss.reset();
  config::Select config;
  config.mutable_grape();
  EXPECT_THROW((void)chosen(config, examples), Error);
}

TEST(Selectors, RandomPartsAreNestedAndSeeded) {
  std::vector<RawExample> examples;
  for (int i = 0; i < 100; ++i) {
    examples.push_back(answer("p", std::to_string(i)));
  }
  const auto part = [&](std::int64_t count, std::uint64_t seed) {
    config::Select config;
    config.mutable_random()->set_examples(count);
    return " " + chosen(config, examples, {nullptr, seed});
  };
  const std::string ten = part(10, 1);
  const std::string twenty = part(20, 1);
  EXPECT_EQ(std::count(twenty.begin(), twenty.end(), ' '), 21);
  for (int i = 0; i < 100; ++i) {
    const std::string word = " " + std::to_string(i) + " ";
    EXPECT_TRUE(ten.find(word) == std::string::npos || twenty.find(word) != std::string::npos);
  }
  EXPECT_NE(ten, part(10, 2));
  EXPECT_THROW((void)part(101, 1), Error);
}

TEST(Selectors, VerifiedAsksTheTaskOrWhatWasExpected) {
  config::Task edit;
  edit.mutable_edit();
  const auto task = make_task(edit);
  const std::vector<RawExample> answers = {answer("reverse: ab", "ba"), answer("reverse: ab", "ab"),
                                           answer("copy: c", "c")};
  config::Select config;
  config.mutable_verified();
  EXPECT_EQ(chosen(config, answers, {task.get(), 1}), "ba c ");
  config.mutable_verified()->set_wrong(true);
  EXPECT_EQ(chosen(config, answers, {task.get(), 1}), "ab ");
  config.mutable_verified()->set_wrong(false);
  EXPECT_EQ(chosen(config, {answer("p", "x", 0, "x"), answer("p", "y", 0, "x")}), "x ");
}

TEST(Selectors, DistinctKeepsTheFirstOfEqualExamples) {
  config::Select config;
  config.mutable_distinct();
  EXPECT_EQ(
      chosen(config, {answer("p", "a"), answer("q", "a"), answer("p", "a"), answer("p", "b")}),
      "a a b ");
}

TEST(Selectors, PairsTakeDifferentRightAndWrongAnswersOfAPrompt) {
  config::Select config;
  config.mutable_pairs()->set_per_prompt(2);
  const std::vector<RawExample> answers = {answer("p", "x", 0, "x"), answer("p", "u", 0, "x"),
                                           answer("p", "u", 0, "x"), answer("p", "v", 0, "x"),
                                           answer("q", "y", 0, "y"), answer("r", "w", 0, "z")};
  EXPECT_EQ(chosen(config, answers), "x|u ");  // one right answer, and q and r lack the other kind
}

}  // namespace
}  // namespace finescale
