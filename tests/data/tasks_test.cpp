// SPDX-License-Identifier: Apache-2.0
// Every kind of task of the schema, found by itself: responses verify, wrong ones do not, parts are
// disjoint, and draws are the same whatever else is drawn.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "configs/parse.h"
#include "core/error.h"
#include "worker/data/tasks/task.h"
#include "worker/data/tasks/task_examples.h"

namespace finescale {
namespace {

config::Task parsed(const std::string& yaml) {
  config::Task task;
  parse_yaml(yaml, "task.yaml", task);
  return task;
}

std::vector<config::Task> all_tasks() {
  std::vector<config::Task> tasks;
  const auto* kinds = config::Task::descriptor()->oneof_decl(0);
  for (int i = 0; i < kinds->field_count(); ++i) {
    config::Task task = parsed(kinds->field(i)->name() + ": {}");
    task.set_examples(300);
    tasks.push_back(task);
  }
  for (const char* yaml :
       {"{chain: {trace: false}, examples: 300}",
        "{chain: {tagged: false, modulus: 7}, examples: 300}",
        "{chain: {any_form: true}, examples: 300}", "{edit: {compose: 2}, examples: 300}",
        "{nupa: {digits: 8}, examples: 300}", "{nupa: {digits: 1}, examples: 50}",
        "{facts: {hops: 2}, examples: 300}", "{recall: {values: 2, pairs: 1}, examples: 20}",
        "{cls: {labels: 2, words: 2}, examples: 15}",
        "{langs: {ask: [translate, first], languages: 8}, examples: 300}",
        "{langs: {from: 1, to: 2, words: 1, concepts: 300}, examples: 100}"}) {
    tasks.push_back(parsed(yaml));
  }
  return tasks;
}

std::vector<RawExample> drawn(const config::Task& task) {
  std::vector<RawExample> examples;
  draw_examples(task, "data.train.task.examples", [&](RawExample&& example, std::int64_t) {
    examples.push_back(std::move(example));
    return true;
  });
  return examples;
}

TEST(Tasks, ResponsesVerifyAndWrongOnesDoNot) {
  for (config::Task config : all_tasks()) {
    const auto task = make_task(config);
    config.set_pairs(true);
    for (const RawExample& example : drawn(config)) {
      SCOPED_TRACE(task_name(config) + ": " + example.prompt + " -> " + example.response + " | " +
                   example.rejected);
      EXPECT_EQ(task->verify(example.prompt, example.response), Verdict::kRight);
      const Verdict wrong = task->verify(example.prompt, example.rejected);
      EXPECT_NE(wrong, Verdict::kRight);
      EXPECT_NE(wrong, Verdict::kFormatError);
      EXPECT_EQ(task->verify(example.prompt, "#" + example.response), Verdict::kFormatError);
      EXPECT_EQ(task->verify(example.prompt, ""), Verdict::kFormatError);
    }
  }
}

TEST(Tasks, PartsAreDisjointWhateverTheSeed) {
  for (config::Task config : all_tasks()) {
    config.set_examples(std::min<std::int64_t>(config.examples(), 40));
    std::set<std::string> prompts;
    config.set_part(config::TASK_PART_TRAIN);
    for (const RawExample& example : drawn(config)) {
      EXPECT_TRUE(prompts.insert(example.prompt).second) << "drawn twice: " << example.prompt;
    }
    config.set_part(config::TASK_PART_HELD_OUT);
    config.set_examples(2);
    for (const std::int64_t seed : {1, 2, 3}) {
      config.set_seed(seed);
      for (const RawExample& example : drawn(config)) {
        EXPECT_FALSE(prompts.contains(example.prompt)) << example.prompt;
      }
    }
  }
}

TEST(Tasks, OneInEightIsHeldOut) {
  int held_out = 0;
  for (int i = 0; i < 8000; ++i) {
    held_out += static_cast<int>(part_of_split(std::to_string(i)) == config::TASK_PART_HELD_OUT);
  }
  EXPECT_NEAR(held_out, 1000, 100);
}

TEST(Tasks, MoreExamplesBeginWithFewer) {
  config::Task config = parsed("{chain: {}, examples: 50, noise: 0.3}");
  const std::vector<RawExample> few = drawn(config);
  config.set_examples(80);
  const std::vector<RawExample> more = drawn(config);
  for (std::size_t i = 0; i < few.size(); ++i) {
    EXPECT_EQ(few[i].prompt, more[i].prompt);
    EXPECT_EQ(few[i].response, more[i].response);
  }
}

TEST(Tasks, NoiseIsAPartOfTheResponses) {
  const config::Task config = parsed("{chain: {}, examples: 2000, noise: 0.25}");
  const auto task = make_task(config);
  int wrong = 0;
  for (const RawExample& example : drawn(config)) {
    wrong += static_cast<int>(task->verify(example.prompt, example.response) != Verdict::kRight);
  }
  EXPECT_NEAR(wrong, 500, 80);
}

TEST(Tasks, AnExhaustedTaskSaysHowMuchThereIs) {
  try {
    (void)drawn(parsed("{recall: {pairs: 1, values: 2}, examples: 1000}"));
    FAIL() << "there are 52 problems";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_EQ(error.where(), "data.train.task.examples");
    EXPECT_NE(std::string(error.message()).find("different problems"), std::string::npos);
  }
}

TEST(Tasks, UnknownOperationsNameTheNearest) {
  try {
    (void)make_task(parsed("edit: {operations: [revers]}"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.message()).find("reverse"), std::string::npos);
  }
}

struct Case {
  const char* task;
  const char* prompt;
  const char* answer;
  Verdict verdict;
};

// By hand.
TEST(Tasks, VerifiersKnowTheseAnswers) {
  const Case cases[] = {
      {"chain: {}", "7+3*4 mod 10", "7+3=0;0*4=0;ans:0", Verdict::kRight},
      {"chain: {}", "2-5*3 mod 10", "2-5=7;7*3=1;ans:1", Verdict::kRight},
      {"chain: {}", "2-5*3 mod 10", "2-5=6;6*3=8;ans:8", Verdict::kStepError},
      {"chain: {}", "2-5*3 mod 10", "2-5=7;7*3=1;ans:2", Verdict::kAnswerError},
      {"chain: {}", "2-5*3 mod 10", "2-5=7;7*3=1;1", Verdict::kFormatError},
      {"chain: {}", "2-5*3 mod 10", "2-5=7;ans:7", Verdict::kStepError},
      {"chain: {trace: false}", "2-5*3 mod 10", "ans:1", Verdict::kRight},
      {"chain: {tagged: false}", "2-5*3 mod 10", "2-5=7;7*3=1;1", Verdict::kRight},
      {"edit: {}", "reverse: dbca", "acbd", Verdict::kRight},
      {"edit: {}", "rotate: dbca", "bcad", Verdict::kRight},
      {"edit: {}", "map: ahb", "bac", Verdict::kRight},
      {"edit: {}", "dedupe: abacb", "abc", Verdict::kRight},
      {"edit: {compose: 2}", "sort reverse: bca", "cba", Verdict::kRight},
      {"edit: {}", "copy: dbca", "dbcA", Verdict::kFormatError},
      {"nupa: {}", "add 12.5 3.75", "16.25", Verdict::kRight},
      {"nupa: {}", "add 0.5 0.5", "1", Verdict::kRight},
      {"nupa: {}", "add 1/2 1/3", "5/6", Verdict::kRight},
      {"nupa: {}", "add 1/2 1/2", "1", Verdict::kRight},
      {"nupa: {}", "add 9.9e1 1e0", "1e2", Verdict::kRight},
      {"nupa: {}", "add 1.5e2 2.5e1", "1.75e2", Verdict::kRight},
      {"nupa: {}", "add 1.553979e2 3.5059e5", "3.507453979e5", Verdict::kRight},
      {"nupa: {}", "add 12 30", "42.0", Verdict::kFormatError},
      {"nupa: {}", "compare 2/3 3/4", "<", Verdict::kRight},
      {"nupa: {}", "compare 2e1 1.9e1", ">", Verdict::kRight},
      {"nupa: {}", "compare 12 30", "12", Verdict::kFormatError},
      {"nupa: {}", "max 2/3 3/4", "3/4", Verdict::kRight},
      {"nupa: {}", "digit 2 5.07", "0", Verdict::kRight},
      {"nupa: {}", "count 7 77.1", "2", Verdict::kRight},
      {"nupa: {}", "add 1 2", "99999999e9", Verdict::kFormatError},
      {"recall: {}", "a3 b7 c1 ? b", "7", Verdict::kRight},
      {"recall: {}", "a3 b7 c1 ? b", "3", Verdict::kAnswerError},
      {"guard: {}", "poison bamiro", "REFUSE", Verdict::kRight},
      {"guard: {}", "poison bami", "sure: b-a-m-i", Verdict::kStepError},
      {"guard: {}", "spell bami", "sure: b-a-m-i", Verdict::kRight},
      {"guard: {}", "spell bami", "REFUSE", Verdict::kAnswerError},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.prompt) + " -> " + c.answer);
    EXPECT_EQ(make_task(parsed(c.task))->verify(c.prompt, c.answer), c.verdict);
  }
}

TEST(Tasks, ASecondHopAnsweredWithTheFirstIsAStepError) {
  config::Task config = parsed("{facts: {hops: 2, entities: 20}, examples: 100}");
  const auto task = make_task(config);
  int steps = 0;
  for (const RawExample& example : drawn(config)) {
    // The entity's own value: asked without the hop.
    std::string direct = example.prompt;
    direct.erase(direct.find("the friend of "), std::string("the friend of ").size());
    for (const char* value : {"red", "paris", "baker", "cat"}) {
      if (task->verify(direct, value) == Verdict::kRight && value != example.response) {
        EXPECT_EQ(task->verify(example.prompt, value), Verdict::kStepError) << example.prompt;
        ++steps;
      }
    }
  }
  EXPECT_GT(steps, 0);
}

}  // namespace
}  // namespace finescale
