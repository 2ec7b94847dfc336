// SPDX-License-Identifier: Apache-2.0
// Trials that are filled into a form are those that are expanded in full: keys, texts, messages.
#include "coordinator/trial_form.h"

#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "configs/point_setter.h"
#include "coordinator/plan.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::google::protobuf::util::MessageDifferencer;

std::string hash(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

class TrialFormTest : public SweepTest {
 protected:
  // Every stage of every trial, made alone, is what the plan has under its key.
  static void expect_as_expanded(const std::string& text) {
    const config::Sweep sweep = load(text);
    const Plan plan = make_plan(sweep, hash, {});
    config::Sweep plain = sweep;
    plain.clear_axes();
    PointSetter setter(plain);
    std::set<std::string> keys;
    for (const PlannedTrial& trial : plan.trials) {
      const TrialStages expected = expand_trial(setter.at(trial.axes, trial.id), hash);
      ASSERT_EQ(trial.names, expected.names);
      for (std::size_t i = 0; i < expected.stages.size(); ++i) {
        const config::StageSpec& stage = expected.stages[i];
        ASSERT_EQ(trial.stages[i], stage.key()) << trial.id << " " << stage.label();
        config::StageSpec planned = plan.graph.stages.at(stage.key());
        const StagePlace place = plan.graph.stages.place(stage.key());
        EXPECT_EQ(
            filled(plan.graph.stages.form(place).form.text(), plan.graph.stages.fillings(place)),
            canonical_text(planned));
        planned.mutable_inputs()->DeleteSubrange(stage.inputs_size(),
                                                 planned.inputs_size() - stage.inputs_size());
        if (planned.has_train()) {
          planned.mutable_train()->clear_start();  // which trunk is the plan's choice
        }
        EXPECT_TRUE(MessageDifferencer::Equals(planned, stage)) << planned.DebugString();
        keys.insert(stage.key());
      }
    }
    EXPECT_LT(plan.graph.stages.forms().size(), keys.size());
  }
};

TEST_F(TrialFormTest, BudgetsAndSeedsAreFilledIn) {
  std::vector<std::string> lines = valid_lines();
  lines[11] = "    - train: {learning_rate: 1e-3, schedule: wsd}";
  lines[14] = "  train.method: [full, {lora: {rank: 2}}]";
  lines[15] = "  seed: [1, 2, 3, 77]";
  expect_as_expanded(joined_lines(lines) + "  train.data_budget: [5, 10, 15]\n");
}

TEST_F(TrialFormTest, OfSeveralTrainStagesToo) {
  std::vector<std::string> lines = valid_lines();
  lines[11] =
      "    - {name: first, train: {method: full}}\n"
      "    - {name: second, train: {method: {lora: {rank: 2}}}}";
  lines[14] = "  first.data_budget: [5, 10, 15]";
  lines[15] = "  second.data_budget: [3, 5]\n  seed: [1, 2, 3]";
  expect_as_expanded(joined_lines(lines));
}

TEST_F(TrialFormTest, OtherAxesHaveFormsOfTheirOwn) {
  std::vector<std::string> lines = valid_lines();
  lines[14] = "  train.learning_rate: [1e-3, 2e-3]";
  lines[15] = "  seed: [5, 6, 7]\n  train.data_budget: [4, 8]";
  expect_as_expanded(joined_lines(lines));
}

// A form whose prediction was wrong is not used.
TEST_F(TrialFormTest, IsRefutedByATrialThatIsOtherwise) {
  const config::Sweep sweep = load(valid());
  config::Sweep plain = sweep;
  plain.clear_axes();
  PointSetter setter(plain);
  SpecTable table;
  const auto expanded = [&](const std::string& seed, const std::string& rank,
                            std::vector<StagePlace>& places) {
    const TrialStages stages = expand_trial(
        setter.at({{"train.method", "{lora: {rank: " + rank + "}}"}, {"seed", seed}}, "t"), hash);
    for (const config::StageSpec& stage : stages.stages) {
      places.push_back(table.put(stage).first);
    }
    return stages;
  };
  std::vector<StagePlace> first, second, other;
  TrialForm form(expanded("2", "4", first), first, {2, {}}, table);
  EXPECT_FALSE(form.is_proven_for({3, {}}));
  (void)expanded("3", "4", second);
  form.prove({3, {}}, second, table);
  EXPECT_TRUE(form.is_proven_for({4, {}}));
  EXPECT_EQ(form.fill({3, {}}, table), second);
  (void)expanded("4", "8", other);  // as if the seed changed the rank
  form.prove({4, {}}, other, table);
  EXPECT_FALSE(form.is_proven_for({5, {}}));
}

TEST(VariedValues, AreNumbersOrNothing) {
  EXPECT_FALSE(varied_values({{"seed", "x"}}).has_value());
  EXPECT_FALSE(varied_values({{"train.data_budget", "1e3"}}).has_value());
  const auto values = varied_values({{"seed", "3"}, {"train.data_budget", "10"}, {"a.b", "c"}});
  ASSERT_TRUE(values.has_value());
  EXPECT_EQ(values->seed, 3);
  EXPECT_EQ(values->budgets.at("train"), 10);
  EXPECT_EQ(common_values({{"seed", "3"}, {"a.b", "c"}}, {}), "a.b=c\n");
}

}  // namespace
}  // namespace finescale
