// SPDX-License-Identifier: Apache-2.0
#include "configs/stages.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;

class Stages : public SweepTest {
 protected:
  // The "content" of a file is its name: visible in specs.
  static std::string name_of(const std::string& path) {
    return std::filesystem::path(path).filename().string();
  }
  static TrialStages expand(const std::string& text, const std::vector<Override>& set = {}) {
    config::Sweep sweep = load(text);
    for (const auto& [path, value] : set) {
      set_field(sweep, path, value, "");
    }
    return expand_trial(sweep, name_of);
  }
};

TEST_F(Stages, InputsComeFirstAndAreNamed) {
  const TrialStages out = expand(valid());
  EXPECT_THAT(out.names, ElementsAre("tokenizer", "pretrain", "train", "evaluate"));
  ASSERT_EQ(out.stages.size(), 4U);
  const std::string tokenizer = out.stages[0].key();
  const std::string pretrain = out.stages[1].key();
  const std::string train = out.stages[2].key();
  EXPECT_TRUE(out.stages[0].inputs().empty());
  EXPECT_THAT(out.stages[1].inputs(), ElementsAre(tokenizer));
  EXPECT_THAT(out.stages[2].inputs(), ElementsAre(pretrain, tokenizer));
  // An adapter is measured on its base: model, tokenizer, base.
  EXPECT_THAT(out.stages[3].inputs(), ElementsAre(train, tokenizer, pretrain));
  for (const config::StageSpec& spec : out.stages) {
    EXPECT_EQ(spec.key(), stage_key(spec));
    EXPECT_EQ(spec.key().size(), 32U);
  }
}

TEST_F(Stages, FullWeightsNeedNoBaseWhenMeasured) {
  const TrialStages out = expand(with_line(12, "    - train: {}"));
  EXPECT_THAT(out.stages[3].inputs(), ElementsAre(out.stages[2].key(), out.stages[0].key()));
}

TEST_F(Stages, PretrainingIsATrainStageOfFreshWeights) {
  const TrialStages out = expand(valid());
  const config::TrainSpec& spec = out.stages[1].train();
  EXPECT_EQ(spec.model().fresh().llama().hidden_size(), 64);
  EXPECT_EQ(spec.tokenizer().artifact(), out.stages[0].key());
  EXPECT_EQ(spec.data().files(0).content(), "texts.jsonl");
  EXPECT_EQ(spec.data().files(0).path(), path("texts.jsonl"));
  EXPECT_EQ(spec.train().steps(), 10);
  EXPECT_EQ(spec.seed(), 1);
  EXPECT_EQ(out.stages[0].prepare().tokenizer().vocab_size(), 512);
}

TEST_F(Stages, ATeacherIsAnInputAndItsNameIsNone) {
  const std::string chain =
      "    - {name: first, train: {}}\n    - {name: second, from: [base], "
      "train: {objective: {distill: {teacher: first}}}}";
  const auto with_chain = [](const std::string& text) {
    std::vector<std::string> lines = valid_lines();
    lines[11] = text;
    lines[14] = "  # no budgets";
    return joined_lines(lines);
  };
  const TrialStages out = expand(with_chain(chain));
  const config::StageSpec& first = out.stages[2];
  const config::StageSpec& second = out.stages[3];
  EXPECT_EQ(second.train().teacher().artifact(), first.key());
  EXPECT_EQ(second.train().model().artifact(), out.stages[1].key());
  EXPECT_THAT(second.inputs(), ElementsAre(out.stages[1].key(), out.stages[0].key(), first.key()));
  EXPECT_FALSE(second.train().train().objective().distill().has_teacher());
  std::string renamed = chain;
  for (std::size_t at = renamed.find("first"); at != std::string::npos;
       at = renamed.find("first", at + 5)) {
    renamed.replace(at, 5, "other");
  }
  EXPECT_EQ(expand(with_chain(renamed)).stages[3].key(), second.key());
  // Its own start: no input more, another key.
  const TrialStages own = expand(with_line(12, "    - train: {objective: distill}"));
  EXPECT_FALSE(own.stages[2].train().has_teacher());
  EXPECT_THAT(own.stages[2].inputs(), ElementsAre(own.stages[1].key(), own.stages[0].key()));
}

TEST_F(Stages, TheSeedMovesTrialsButNotThePretraining) {
  const TrialStages one = expand(valid(), {{"seed", "1"}});
  const TrialStages two = expand(valid(), {{"seed", "2"}});
  EXPECT_EQ(one.stages[0].key(), two.stages[0].key());
  EXPECT_EQ(one.stages[1].key(), two.stages[1].key());
  EXPECT_NE(one.stages[2].key(), two.stages[2].key());
  EXPECT_NE(one.stages[3].key(), two.stages[3].key());  // through its model
  EXPECT_EQ(two.stages[2].train().seed(), 2);
  EXPECT_NE(expand(valid(), {{"base.pretrain.seed", "2"}}).stages[1].key(), one.stages[1].key());
}

TEST_F(Stages, KeysFollowContentNotPlace) {
  const TrialStages one = expand(valid());
  const config::Sweep sweep = load(valid());
  const TrialStages other = expand_trial(sweep, [](const std::string& file) {
    return name_of(file) == "train.jsonl" ? std::string("changed") : name_of(file);
  });
  EXPECT_EQ(one.stages[1].key(), other.stages[1].key());
  EXPECT_NE(one.stages[2].key(), other.stages[2].key());
  std::filesystem::create_directories("moved");
  std::filesystem::copy_file("train.jsonl", "moved/train.jsonl");
  const TrialStages moved = expand(with_line(7, "  train: moved/train.jsonl"));
  EXPECT_EQ(one.stages[2].key(), moved.stages[2].key());
}

TEST_F(Stages, EvaluationSetsEnterTrainingOnlyWhenItEvaluates) {
  const TrialStages without = expand(valid());
  EXPECT_EQ(without.stages[2].train().eval_size(), 0);
  const TrialStages with = expand(valid(), {{"train.eval_every", "5"}});
  ASSERT_EQ(with.stages[2].train().eval_size(), 1);
  EXPECT_EQ(with.stages[2].train().eval(0).name(), "held_out");
}

TEST_F(Stages, ASetWithoutFilesIsTheHeldOutPartOfThePool) {
  const TrialStages out =
      expand(with_line(8,
                       "  eval: [{name: held_out, limit: 3}, {name: other, path: eval.jsonl}]\n"
                       "  eval_fraction: 0.2"));
  const config::EvaluateSpec& spec = out.stages[3].evaluate();
  ASSERT_EQ(spec.sets_size(), 2);
  EXPECT_TRUE(spec.sets(0).held_out_part());
  EXPECT_EQ(spec.sets(0).files(0).content(), "train.jsonl");
  EXPECT_FALSE(spec.sets(1).held_out_part());
  EXPECT_EQ(spec.sets(1).files(0).content(), "eval.jsonl");
  EXPECT_EQ(spec.rules().eval_fraction(), 0.2);
  EXPECT_EQ(out.stages[2].train().rules().eval_fraction(), 0.2);
  EXPECT_EQ(out.stages[1].train().rules().eval_fraction(), 0);  // not of the pretraining text
}

TEST_F(Stages, FromChoosesTheInput) {
  const TrialStages out = expand(with_line(12,
                                           "    - train: {method: full}\n"
                                           "    - {name: more, train: {method: full}}\n"
                                           "    - {name: first, from: train, evaluate: {}}\n"
                                           "    - {name: again, train: {method: lora}}\n"));
  // The stage behind an evaluation takes the model that was evaluated.
  ASSERT_THAT(out.names,
              ElementsAre("tokenizer", "pretrain", "train", "more", "first", "again", "evaluate"));
  EXPECT_EQ(out.stages[3].train().model().artifact(), out.stages[2].key());
  EXPECT_EQ(out.stages[4].evaluate().model().artifact(), out.stages[2].key());
  EXPECT_EQ(out.stages[5].train().model().artifact(), out.stages[2].key());
  EXPECT_EQ(out.stages[6].evaluate().model().artifact(), out.stages[5].key());
}

TEST_F(Stages, AModelDirectoryBringsItsTokenizer) {
  std::filesystem::create_directories("model");
  write("model/checkpoint.h5", "x");
  write("model/tokenizer.json", "{}");
  std::string text = valid();
  const std::size_t begin = text.find("  preset");
  text.replace(begin, text.find("\ndata:") + 1 - begin, "  model: model\n");
  const TrialStages out = expand(text);
  EXPECT_THAT(out.names, ElementsAre("train", "evaluate"));
  EXPECT_EQ(out.stages[0].train().model().checkpoint().content(), "checkpoint.h5");
  EXPECT_EQ(out.stages[0].train().tokenizer().file().path(), path("model/tokenizer.json"));
  EXPECT_TRUE(out.stages[0].inputs().empty());
}

TEST_F(Stages, ARunExpandsLikeTheTrialOfASweep) {
  std::string text = valid();
  text.resize(text.find("axes:"));
  write("run.yaml", text);
  const TrialStages run = expand_run(load_run("run.yaml", {}), name_of);
  const TrialStages sweep = expand(text);
  ASSERT_EQ(run.names, sweep.names);
  for (std::size_t i = 0; i < run.stages.size(); ++i) {
    EXPECT_EQ(run.stages[i].key(), sweep.stages[i].key());
  }
}

}  // namespace
}  // namespace finescale
