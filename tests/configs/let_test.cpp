// SPDX-License-Identifier: Apache-2.0
// Derived values, rounds, and tuning of several fields.
#include "configs/let.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/expression.h"
#include "configs/stages.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;

double value_of(const std::string& text) {
  return evaluate(text, [](const std::string& name) { return name == "x" ? 7.0 : 0.5; });
}

std::string fault_of(const std::string& text) {
  try {
    (void)value_of(text);
  } catch (const ExpressionFault& fault) {
    return fault.what;
  }
  return "";
}

TEST(Expressions, HaveTheUsualPrecedence) {
  EXPECT_EQ(value_of("1 + 2 * 3 - 4 / 2"), 5);
  EXPECT_EQ(value_of("(1 + 2) * -3"), -9);
  EXPECT_EQ(value_of("2 ^ 3 ^ 2"), 512);
  EXPECT_EQ(value_of("10 - 3 - 2"), 5);
  EXPECT_EQ(value_of("round(x * share)"), 4);
  EXPECT_EQ(value_of("min(x, 3, max(1, 2)) + floor(2.9) + ceil(0.1)"), 5);
  EXPECT_NEAR(value_of("sqrt(abs(-16)) + log(exp(1.5))"), 5.5, 1e-12);
  EXPECT_EQ(value_of("1e3"), 1000);
}

TEST(Expressions, SayWhatIsWrong) {
  EXPECT_EQ(fault_of("1 +"), "ends too early");
  EXPECT_EQ(fault_of("(1"), ") is missing");
  EXPECT_EQ(fault_of("1 2"), "unexpected 2");
  EXPECT_EQ(fault_of("cube(2)"),
            "no function cube: there are round floor ceil abs sqrt log exp min max");
  EXPECT_EQ(fault_of("1 / (x - 7)"), "division by zero");
  EXPECT_EQ(fault_of("round(1, 2)"), "round takes one value");
  EXPECT_EQ(fault_of(std::string(100, '(') + "1"), "nested too deeply");
}

class Let : public SweepTest {
 protected:
  static std::string with(const std::string& train, const std::string& end) {
    return with_line(12, train) + end;
  }
  static const config::Train& train_at(const config::Sweep& sweep) {
    return sweep.trial().stages(0).train();
  }
};

TEST_F(Let, FieldsTakeItsValues) {
  const config::Sweep sweep =
      load(with("    - train: {steps: $(round(budget * share)), learning_rate: $rate}",
                "let: {budget: 100, share: 0.25, rate: 1e-3 * 2}\n"));
  EXPECT_EQ(train_at(sweep).steps(), 25);
  EXPECT_DOUBLE_EQ(train_at(sweep).learning_rate(), 2e-3);
  const config::Sweep other = apply_values(sweep, {{"let.share", "0.5"}}, "");
  EXPECT_EQ(train_at(other).steps(), 50);
  const config::Sweep set = load(with("    - train: {steps: $n}", "let: {n: 3}\n"),
                                 {{"train.steps", "9"}, {"let.n", "5"}});
  EXPECT_EQ(train_at(set).steps(), 9);  // what is set is no longer derived
}

TEST_F(Let, ItMayVaryAndReadFields) {
  std::string text = with("    - train: {steps: $(2 * train.data_budget)}", "let: {share: 0.5}\n");
  const config::Sweep sweep = load(text);
  EXPECT_EQ(train_at(apply_values(sweep, {{"train.data_budget", "10"}}, "")).steps(), 20);
  text.replace(text.find("  train.data_budget: [5, 10]"), 28,
               "  let.share: [0.1, 0.2]\n  train.data_budget: [5, 10]");
  EXPECT_THAT(axis_values(load(text), load(text).axes(0)), ElementsAre("0.1", "0.2"));
}

TEST_F(Let, WrongOnesAreErrorsAtTheirPlace) {
  EXPECT_EQ(error_of(with("    - train: {steps: $n}", "let: {n: 1, m: 2}\n")), "");
  EXPECT_EQ(error_of(with("    - train: {steps: $k}", "let: {n: 1}\n")),
            "sweep.yaml:12:22: trial.stages[0].train.steps: no value k");
  EXPECT_EQ(error_of(with("    - train: {steps: $n}", "let: {n: m / 2, m: 3}\n")),
            "sweep.yaml:12:22: trial.stages[0].train.steps: n is 1.5, must be a whole number");
  EXPECT_EQ(error_of(with("    - train: {steps: $n}", "let: {n: m, m: n}\n")),
            "sweep.yaml:17:7: let.n is made of itself: n -> m -> n");
  EXPECT_EQ(error_of(with("    - train: {steps: $(1 +)}", "")),
            "sweep.yaml:12:22: trial.stages[0].train.steps: (1 +): unexpected )");
  EXPECT_EQ(error_of(with("    - train: {steps: $n}", "let: {n: 0}\n")),
            "sweep.yaml:12:22: trial.stages[0].train.steps is 0, must be >= 1");
  EXPECT_EQ(error_of(with("    - train: {data_budget: $n}", "let: {n: 5}\n")),
            "sweep.yaml:15:3: axes.train.data_budget: the field is written as $(n), which an axis "
            "cannot vary");
}

TEST_F(Let, RoundsAreWrittenOut) {
  const std::string stages =
      "    - {name: start, train: {}}\n"
      "    - rounds:\n"
      "        times: 3\n"
      "        stages:\n"
      "          - generate: {samples: 2, max_new_tokens: 4}\n"
      "          - {name: again, from: [base, generate], train: {steps: 2}}";
  std::string text = with_line(12, stages);
  text.replace(text.find("  train.data_budget: [5, 10]"), 28, "  generate.samples: [1, 2]");
  const config::Sweep sweep = load(text);
  const TrialStages out = expand_trial(sweep, [](const std::string& path) { return path; });
  EXPECT_THAT(out.names, ElementsAre("tokenizer", "pretrain", "start", "generate@1", "again@1",
                                     "generate@2", "again@2", "generate", "again", "evaluate"));
  // A round asks the model of the round before; the field varies in all of them.
  EXPECT_EQ(out.stages[3].generate().model().artifact(), out.stages[2].key());
  EXPECT_EQ(out.stages[5].generate().model().artifact(), out.stages[4].key());
  const config::Sweep one = apply_values(sweep, {{"generate.samples", "1"}}, "");
  const TrialStages fewer = expand_trial(one, [](const std::string& path) { return path; });
  for (const std::size_t at : {3U, 5U, 7U}) {
    EXPECT_EQ(fewer.stages[at].generate().generate().samples(), 1);
  }
  EXPECT_EQ(expand_trial(apply_values(sweep, {{"rounds.times", "1"}}, ""),
                         [](const std::string& path) { return path; })
                .stages.size(),
            6U);
}

TEST_F(Let, ATeacherInRoundsIsTheRoundBefore) {
  std::string text = with_line(
      12,
      "    - {name: start, train: {}}\n"
      "    - rounds:\n"
      "        times: 2\n"
      "        stages:\n"
      "          - {name: again, from: [base], train: {objective: {distill: {teacher: again}}}}");
  text.replace(text.find("  train.data_budget: [5, 10]"), 28, "  again.steps: [1, 2]");
  const TrialStages out = expand_trial(load(text), [](const std::string& path) { return path; });
  EXPECT_THAT(out.names,
              ElementsAre("tokenizer", "pretrain", "start", "again@1", "again", "evaluate"));
  EXPECT_EQ(out.stages[3].train().teacher().artifact(), out.stages[2].key());
  EXPECT_EQ(out.stages[4].train().teacher().artifact(), out.stages[3].key());
}

TEST_F(Let, ARoundMayHaveADatasetOfItsOwn) {
  std::vector<std::string> lines = valid_lines();
  lines[6] =
      "  train: train.jsonl\n  sets: {part1: {from: all, apply: [{top: 2}]}, part2: {from: all, "
      "apply: [{top: 3}]}, all: {path: train.jsonl}}";
  lines[11] = "    - rounds: {stages: [{name: again, train: {data: \"part{round}\"}}]}";
  const auto tops = [&](const config::Sweep& sweep) {
    const TrialStages out = expand_trial(sweep, [](const std::string& path) { return path; });
    std::vector<std::int64_t> found;
    for (const config::StageSpec& stage : out.stages) {
      if (stage.has_train() && stage.label() != "pretrain") {
        const auto& apply = stage.train().data().apply();
        found.push_back(apply.empty() ? 0 : apply.Get(0).top().examples());
      }
    }
    return found;
  };
  std::string text = joined_lines(lines);
  text.replace(text.find("  train.data_budget: [5, 10]"), 28,
               "  again.data: [\"part{round}\", all]");
  const config::Sweep sweep = load(text);
  EXPECT_THAT(tops(sweep), ElementsAre(2, 3));
  EXPECT_THAT(tops(apply_values(sweep, {{"again.data", "all"}}, "")), ElementsAre(0, 0));
  lines[11] = "    - rounds: {times: 3, stages: [{name: again, train: {data: \"part{round}\"}}]}";
  EXPECT_THAT(error_of(joined_lines(lines)), testing::HasSubstr("part3"));
}

TEST_F(Let, RoundsReadTheNewestOfADataset) {
  std::vector<std::string> lines = valid_lines();
  lines[6] = "  train: train.jsonl\n  sets: {own: {stage: generate, apply: [{dedupe: {}}]}}";
  lines[11] =
      "    - train: {}\n"
      "    - rounds: {stages: [{generate: {max_new_tokens: 4}}, {name: again, train: {data: "
      "own}}]}";
  const TrialStages out =
      expand_trial(load(joined_lines(lines)), [](const std::string& path) { return path; });
  // tokenizer pretrain train generate@1 again@1 generate again evaluate
  EXPECT_EQ(out.stages[4].train().data().inputs(0).artifact(), out.stages[3].key());
  EXPECT_EQ(out.stages[6].train().data().inputs(0).artifact(), out.stages[5].key());
  lines[11] = "    - rounds: {stages: [{name: again, train: {data: own}}, {generate: {}}]}";
  EXPECT_EQ(error_of(joined_lines(lines)),
            "sweep.yaml:13:53: trial.stages[0].rounds.stages[0].train.data: dataset own is made of "
            "what stage generate leaves, which comes later");
}

TEST_F(Let, SeveralFieldsAreTunedOnALatinHypercube) {
  const config::Sweep sweep = load(
      valid() +
      "tune: {fields: [train.learning_rate, train.weight_decay], metric: held_out.loss, trials: 5, "
      "ranges: {train.weight_decay: {from: 0.001, to: 0.1}}}\n");
  const auto points = tuning_points(sweep);
  ASSERT_EQ(points.size(), 5U);
  std::set<std::string> rates;
  std::set<std::string> decays;
  for (const auto& point : points) {
    rates.insert(point.at("train.learning_rate"));
    decays.insert(point.at("train.weight_decay"));
  }
  EXPECT_EQ(rates.size(), 5U);
  EXPECT_EQ(decays.size(), 5U);
  EXPECT_EQ(error_of(valid() + "tune: {fields: [train.learning_rate], metric: held_out.loss, "
                               "ranges: {train.weight_decay: {from: 1, to: 2}}}\n"),
            "sweep.yaml:17:71: tune.ranges.train.weight_decay is not in tune.fields");
}

}  // namespace
}  // namespace finescale
