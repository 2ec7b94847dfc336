// SPDX-License-Identifier: Apache-2.0
// Named datasets: what a user sees for wrong ones, and how they get into stages and keys.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "configs/overlap.h"
#include "configs/stages.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;

class NamedData : public SweepTest {
 protected:
  // Line 7 of the sweep: the pool, and the datasets given.
  static std::string with_sets(const std::string& sets, const std::string& stages = "") {
    std::vector<std::string> lines = valid_lines();
    lines[6] = "  train: train.jsonl\n  sets:\n" + sets;
    if (!stages.empty()) {
      lines[11] = stages;
    }
    std::string text;
    for (const std::string& line : lines) {
      text += line + "\n";
    }
    return text;
  }
  static TrialStages expand(const std::string& text) {
    return expand_trial(load(text), [](const std::string& path) {
      return std::filesystem::path(path).filename().string();
    });
  }
  static const config::StageSpec& stage(const TrialStages& stages, const std::string& name) {
    const auto at = std::find(stages.names.begin(), stages.names.end(), name);
    return stages.stages.at(static_cast<std::size_t>(at - stages.names.begin()));
  }
};

constexpr const char* kTask = "    a: {task: {chain: {}, examples: 50}}";

TEST_F(NamedData, NamesThatAreNotThere) {
  EXPECT_EQ(error_of(with_sets("    few: {from: pol}\n    pool: train.jsonl")),
            "sweep.yaml:9:17: data.sets.few.from: no dataset is called pol, did you mean pool?");
  EXPECT_EQ(error_of(with_sets(kTask, "    - train: {data: b}")),
            "sweep.yaml:14:21: trial.stages[0].train.data: no dataset is called b");
  EXPECT_EQ(error_of(with_sets("    m: {mix: {parts: {x: 1}}}")),
            "sweep.yaml:9:23: data.sets.m.mix.parts.x: no dataset is called x");
  EXPECT_EQ(error_of(with_sets(std::string(kTask) + "\n    b: {from: a, apply: [{join: c}]}")),
            "sweep.yaml:10:33: data.sets.b.apply[0].join: no dataset is called c");
  EXPECT_EQ(error_of(with_sets("    g: {stage: generate}")),
            "sweep.yaml:9:16: data.sets.g.stage: no stage is called generate");
  EXPECT_EQ(error_of(with_sets("    g: {stage: train}")),
            "sweep.yaml:9:16: data.sets.g.stage: stage train leaves no examples");
}

TEST_F(NamedData, ADatasetMadeOfItself) {
  EXPECT_EQ(error_of(with_sets("    a: {from: b}\n    b: {mix: {parts: {c: 1}}}\n"
                               "    c: {from: a, apply: [{top: 3}]}")),
            "sweep.yaml:11:15: data.sets.c.from: the dataset is made of itself: a -> b -> c -> a");
}

TEST_F(NamedData, AStageThatComesLater) {
  const std::string sets = "    own: {stage: generate, apply: [{top: 3}]}";
  EXPECT_EQ(error_of(with_sets(sets, "    - train: {data: own}\n    - generate: {}")),
            "sweep.yaml:14:21: trial.stages[0].train.data: dataset own is made of what stage "
            "generate leaves, which comes later");
  EXPECT_EQ(error_of(with_sets(sets, "    - train: {}\n    - generate: {data: own}")),
            "sweep.yaml:15:24: trial.stages[1].generate.data: dataset own is made of what stage "
            "generate leaves, which is this one");
  EXPECT_EQ(error_of(with_sets(sets,
                               "    - train: {}\n    - generate: {}\n    - {name: two, from: "
                               "[base], train: {data: own}}")),
            "");
}

TEST_F(NamedData, SourcesAndCounts) {
  const auto sets = [](const std::string& rest) { return std::string(kTask) + "\n" + rest; };
  EXPECT_EQ(error_of(with_sets("    a: {limit: 3}")),
            "sweep.yaml:9:5: data.sets.a must give one of path, task, from, stage and mix");
  EXPECT_EQ(error_of(with_sets(sets("    b: {from: a, apply: [{top: 51}]}"))),
            "sweep.yaml:10:32: data.sets.b.apply[0].top is 51, but the dataset has at most 50");
  EXPECT_EQ(error_of(with_sets(sets("    b: {from: a, apply: [{top: 20}, {sample: 30}]}"))),
            "sweep.yaml:10:46: data.sets.b.apply[1].sample is 30, but the dataset has at most 20");
  EXPECT_EQ(error_of(with_sets(sets("    b: {mix: {parts: {a: 1}, examples: 60}}"))),
            "sweep.yaml:10:23: data.sets.b.mix.parts.a gives at most 50 examples, and its ratio of "
            "60 is more");
  EXPECT_EQ(error_of(with_sets(sets("    b: {mix: {parts: {a: {repeat: true}}}}"))),
            "sweep.yaml:10:14: data.sets.b.mix repeats every part, and has no end");
  EXPECT_EQ(
      error_of(with_sets(sets("    b: {from: a, apply: [{k_shot: 50}]}"))),
      "sweep.yaml:10:35: data.sets.b.apply[0].k_shot.examples is 50, but there are at most 49 "
      "to choose from");
  EXPECT_EQ(
      error_of(with_sets(sets("    b: {from: a, apply: [{template: {prompt: \"{\"}}]}"))),
      "sweep.yaml:10:46: data.sets.b.apply[0].template.prompt: { without the name of a column "
      "and }, or write {{");
  EXPECT_EQ(error_of(with_sets("    b: {path: train.jsonl, apply: [{corrupt: {fraction: 1, how: "
                               "wrong}}]}")),
            "sweep.yaml:9:65: data.sets.b.apply[0].corrupt.how: wrong needs responses of one task");
  EXPECT_EQ(error_of(with_sets(sets("    b: {from: a, apply: [{}]}"))),
            "sweep.yaml:10:26: data.sets.b.apply[0] has no kind");
  EXPECT_EQ(
      error_of(with_sets(kTask,
                         "    - train: {}\n    - generate: {data: a, data_budget: "
                         "51}")),
      "sweep.yaml:15:40: trial.stages[1].generate.data_budget is 51, but its data have at most "
      "50 examples");
}

TEST_F(NamedData, VerifiersGoAlongUntilTheResponseIsAnother) {
  const std::string eval =
      "  eval: [{name: held_out, data: b}]\n  max_length: 64\ntrial:\n  stages:\n    - train: {}\n"
      "    - evaluate: {metrics: accuracy}\n";
  const auto sweep = [&](const std::string& change) {
    std::string text =
        with_sets(std::string(kTask) + "\n    b: {from: a, apply: [" + change + "]}");
    return text.substr(0, text.find("  eval:")) + eval;
  };
  EXPECT_EQ(error_of(sweep("{template: {prompt: \"Q: {prompt}\"}}")), "");
  EXPECT_EQ(error_of(sweep("{template: {response: \"So {response}\"}}")),
            "sweep.yaml:16:27: trial.stages[1].evaluate.metrics: accuracy needs a verifier, and "
            "eval set held_out is drawn from no one task");
}

TEST_F(NamedData, TheSameDataByAnotherNameHaveTheSameKey) {
  const TrialStages plain = expand(valid());
  const TrialStages named = expand(with_sets("    again: {from: pool}\n    pool: train.jsonl",
                                             "    - train: {data: again, "
                                             "method: {lora: {rank: 4}}, learning_rate: 1e-3}"));
  EXPECT_EQ(stage(plain, "train").key(), stage(named, "train").key());
}

TEST_F(NamedData, OperatorsAndSeedsAreInTheKey) {
  const auto key = [&](const std::string& sets) {
    return stage(expand(with_sets(sets, "    - train: {data: b}")), "train").key();
  };
  const std::string one = key("    b: {path: train.jsonl, apply: [{sample: 10}]}");
  EXPECT_EQ(key("    c: {path: train.jsonl}\n    b: {from: c, apply: [{sample: 10}]}"), one);
  EXPECT_NE(key("    b: {path: train.jsonl, apply: [{sample: 11}]}"), one);
  EXPECT_NE(key("    b: {path: train.jsonl, apply: [{sample: 10}], seed: 2}"), one);
}

TEST_F(NamedData, WhatStagesLeaveIsAnInput) {
  const TrialStages out = expand(with_sets(
      "    own: {stage: generate}\n    both: {mix: {parts: {own: 1, more: 1}}}\n"
      "    more: {task: {chain: {}, examples: 50}}",
      "    - train: {}\n    - generate: {}\n    - {name: two, from: [base], train: {data: "
      "both}}"));
  const config::StageSpec& two = stage(out, "two");
  EXPECT_NE(std::find(two.inputs().begin(), two.inputs().end(), stage(out, "generate").key()),
            two.inputs().end());
  EXPECT_EQ(two.train().data().inputs(0).artifact(), stage(out, "generate").key());
  EXPECT_FALSE(two.train().train().has_data());
}

TEST_F(NamedData, EvalSetsDrawHeldOutProblemsAndShotsDoNot) {
  std::string text = with_sets(std::string(kTask) +
                               "\n    b: {from: a, apply: [{k_shot: {examples: 2, data: a}}]}");
  const std::size_t at = text.find("path: eval.jsonl");
  text.replace(at, 16, "data: b");
  const TrialStages out = expand(text);
  const config::DatasetRef& set = stage(out, "evaluate").evaluate().sets(0);
  EXPECT_EQ(set.inputs(0).task().part(), config::TASK_PART_HELD_OUT);
  EXPECT_EQ(set.inputs(1).task().part(), config::TASK_PART_TRAIN);
}

TEST_F(NamedData, FieldsOfThemMayVary) {
  config::Sweep sweep =
      load(with_sets("    b: {path: train.jsonl, apply: [{top: 10}, {corrupt: 0.2}]}"));
  set_field(sweep, "data.sets.b.apply[1].corrupt.fraction", "0.5", "");
  EXPECT_EQ(sweep.data().sets(0).dataset().apply(1).corrupt().fraction(), 0.5);
  set_field(sweep, "data.sets.b.seed", "3", "");
  EXPECT_EQ(sweep.data().sets(0).dataset().seed(), 3);
  EXPECT_THROW(set_field(sweep, "data.sets.b.apply[2].top", "3", ""), Error);
}

TEST_F(NamedData, TransformsTakeModels) {
  const auto with = [](const std::string& stages) { return with_sets(kTask, stages); };
  EXPECT_EQ(error_of(with("    - train: {}\n    - transform: {average: {}}")),
            "sweep.yaml:15:18: trial.stages[1].transform takes 2 or more models, and from names 1");
  EXPECT_EQ(error_of(with("    - train: {}\n    - {from: [base, train], transform: "
                          "{task_vectors: [1, 2]}}")),
            "sweep.yaml:15:55: trial.stages[1].transform.task_vectors.scales has 2 values, must "
            "have 1");
  EXPECT_EQ(error_of(with("    - train: {}\n    - {transform: {reset: {}}}")),
            "sweep.yaml:15:19: trial.stages[1].transform.reset needs tensors: all would be the "
            "second model");
  EXPECT_EQ(
      error_of(with("    - train: {}\n    - {transform: {reset: {}, tensors: [model.layer.*]}}")),
      "sweep.yaml:15:41: trial.stages[1].transform.tensors: model.layer.* is no tensor of the "
      "model");
  const TrialStages out = expand(
      with("    - train: {method: full}\n    - {name: soup, from: [train, base, train], transform: "
           "{average: {}}}"));
  EXPECT_EQ(stage(out, "soup").transform().models_size(), 3);
  EXPECT_EQ(stage(out, "evaluate").evaluate().model().artifact(), stage(out, "soup").key());
}

TEST(FirstLine, SaysWhetherAFileHoldsPreferences) {
  const std::string path =
      testing::TempDir() + "finescale_first_line_" + std::to_string(::getpid()) + ".jsonl";
  const auto said = [&](const std::string& line) {
    std::ofstream(path) << line << "\n{}\n";
    return begins_with_pair(path);
  };
  EXPECT_EQ(said(R"({"prompt": "p", "chosen": "c", "rejected": "r"})"), true);
  EXPECT_EQ(said(R"({"prompt": "p", "response": "r"})"), false);
  EXPECT_EQ(said(R"({"question": "q", "better": "b"})"), std::nullopt);  // a template names them
  EXPECT_EQ(said("no JSON"), std::nullopt);
  EXPECT_EQ(said(""), std::nullopt);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace finescale
