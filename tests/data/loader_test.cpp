// SPDX-License-Identifier: Apache-2.0
#include "worker/data/loader.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "kernels/cross_entropy.h"

namespace finescale {
namespace {

Dataset pool(int count) {
  Random random(4, Purpose::kTest);
  std::vector<Example> examples;
  for (int i = 0; i < count; ++i) {
    Example example;
    const auto length = 3 + random.below(20);
    for (std::uint64_t t = 0; t < length; ++t) {
      example.tokens.push_back(static_cast<std::int32_t>(random.below(100)));
    }
    example.num_prompt = 2;
    examples.push_back(example);
  }
  return Dataset(std::move(examples));
}

config::Train settings(std::int64_t budget, double epochs = 1) {
  config::Train train;
  train.set_data_budget(budget);
  train.set_epochs(epochs);
  train.mutable_batch()->set_tokens(100);
  train.set_micro_batch_tokens(40);
  return train;
}

std::vector<std::int64_t> examples_of(const GlobalBatch& batch) {
  std::vector<std::int64_t> all;
  for (const MicroBatch& micro : batch.micro_batches) {
    all.insert(all.end(), micro.examples.begin(), micro.examples.end());
  }
  return all;
}

TEST(TrainLoader, LargerBudgetBeginsWithTheSameBatches) {
  const Dataset data = pool(300);
  const TrainLoader small(data, settings(60), 5);
  const TrainLoader large(data, settings(240), 5);
  GlobalBatch a;
  GlobalBatch b;
  ASSERT_GT(small.num_steps(), 3);
  for (std::int64_t step = 0; step + 1 < small.num_steps();
       ++step) {  // the last may be cut short by the budget
    small.fill(step, a);
    large.fill(step, b);
    EXPECT_EQ(examples_of(a), examples_of(b));
    EXPECT_EQ(a.num_labels, b.num_labels);
  }
}

TEST(TrainLoader, EveryEpochHoldsTheBudgetExactlyOnce) {
  const Dataset data = pool(100);
  const TrainLoader loader(data, settings(50, 3), 5);
  std::map<std::int64_t, int> seen;
  GlobalBatch batch;
  std::int64_t tokens = 0;
  std::int64_t labels = 0;
  for (std::int64_t step = 0; step < loader.num_steps(); ++step) {
    loader.fill(step, batch);
    std::int64_t in_micro = 0;
    for (const MicroBatch& micro : batch.micro_batches) {
      EXPECT_TRUE(micro.num_tokens() <= 40 || micro.examples.size() == 1);
      EXPECT_LE(micro.num_tokens(), loader.max_micro_batch_tokens());
      in_micro += micro.num_labels;
    }
    EXPECT_EQ(in_micro, batch.num_labels);
    EXPECT_LE(static_cast<std::int64_t>(batch.micro_batches.size()), loader.max_micro_batches());
    tokens += batch.num_tokens;
    labels += batch.num_labels;
    for (const std::int64_t example : examples_of(batch)) {
      ++seen[example];
    }
  }
  EXPECT_EQ(seen.size(), 50U);
  for (const auto& [example, count] : seen) {
    EXPECT_EQ(count, 3) << example;
  }
  EXPECT_EQ(tokens, loader.num_tokens());
  EXPECT_EQ(labels, loader.num_labels());
}

// 30 examples of one stream and 8 of another, three to one: each batch of four has both, the small
// one comes around, and nothing of the large one is seen twice before all of it was.
TEST(TrainLoader, SeparateStreamsAreInEveryBatch) {
  std::vector<Example> examples;
  for (int i = 0; i < 38; ++i) {
    Example example;
    example.tokens = {1, 2, 3, static_cast<std::int32_t>(i)};
    example.num_prompt = 2;
    example.stream = i < 30 ? 1 : 2;
    examples.push_back(example);
  }
  const Dataset data(examples, {3, 1});
  config::Train train;
  train.mutable_batch()->set_examples(4);
  train.set_steps(20);
  const TrainLoader loader(data, train, 1);
  std::map<std::int64_t, int> seen;
  GlobalBatch batch;
  for (std::int64_t step = 0; step < loader.num_steps(); ++step) {
    loader.fill(step, batch);
    int of_second = 0;
    for (const std::int64_t example : examples_of(batch)) {
      of_second += example >= 30 ? 1 : 0;
      ++seen[example];
    }
    EXPECT_EQ(of_second, 1) << step;
  }
  for (int i = 0; i < 38; ++i) {
    EXPECT_GE(seen[i], 2) << i;  // 60 and 20 looks at 30 and 8
    EXPECT_LE(seen[i], i < 30 ? 2 : 3) << i;
  }
  EXPECT_EQ(loader.examples().size(), 38U);
  // A smaller budget sees a part of each, and begins with the same batches.
  train.set_steps(2);
  const TrainLoader whole(data, train, 1);
  train.set_data_budget(16);
  const TrainLoader part(data, train, 1);
  GlobalBatch other;
  for (std::int64_t step = 0; step < 2; ++step) {
    whole.fill(step, batch);
    part.fill(step, other);
    EXPECT_EQ(examples_of(batch), examples_of(other));
  }
}

TEST(TrainLoader, SeedsTakeDifferentSubsets) {
  const Dataset data = pool(300);
  GlobalBatch a;
  GlobalBatch b;
  TrainLoader(data, settings(60), 1).fill(0, a);
  TrainLoader(data, settings(60), 2).fill(0, b);
  EXPECT_NE(examples_of(a), examples_of(b));
}

TEST(TrainLoader, LabelsAreTheNextTokenOfTheResponse) {
  Example example;
  example.tokens = {10, 11, 12, 13};
  example.num_prompt = 2;
  const Dataset data(std::vector<Example>{example});
  const std::vector<MicroBatch> batches = evaluation_batches(data, 100);
  ASSERT_EQ(batches.size(), 1U);
  EXPECT_EQ(batches[0].labels, (std::vector<std::int32_t>{kIgnoreLabel, 12, 13, kIgnoreLabel}));
  EXPECT_EQ(batches[0].num_labels, 2);
}

TEST(TrainLoader, MinStepsAddsEpochs) {
  const Dataset data = pool(100);
  config::Train train = settings(20);
  train.set_min_steps(30);
  EXPECT_EQ(TrainLoader(data, train, 1).num_steps(), 30);
}

TEST(TrainLoader, BudgetAboveThePoolNamesBoth) {
  const Dataset data = pool(10);
  try {
    const TrainLoader loader(data, settings(11), 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_NE(std::string(error.what()).find("data_budget is 11"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("only 10"), std::string::npos);
  }
}

class JsonlDataset : public testing::Test {
 protected:
  std::string path_ =
      testing::TempDir() + "finescale_jsonl_" + std::to_string(::getpid()) + ".jsonl";
  Tokenizer tokenizer_ = Tokenizer::train({"hello world"}, 260, {"<|end|>", "<|sep|>"});
  config::DataRules rules_;
  void TearDown() override { std::filesystem::remove(path_); }

  Dataset read(const std::string& text) {
    std::ofstream(path_) << text;
    config::DatasetRef ref;
    ref.add_files()->set_path(path_);
    return Dataset(ref, rules_, tokenizer_);
  }
  std::string message_of(const std::string& text) {
    try {
      (void)read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      return error.what();
    }
    return "no error";
  }
};

TEST_F(JsonlDataset, NamesTheLineAndTheFault) {
  const std::string good = R"({"prompt": "a", "response": "b"})"
                           "\n";
  EXPECT_NE(message_of(good + "{\"prompt\": \"a\"}\n").find(":2: \"response\" is missing"),
            std::string::npos);
  EXPECT_NE(message_of(good + good + "{\n").find(":3: not valid JSON"), std::string::npos);
  EXPECT_NE(message_of("[1]\n").find(":1: is array, must be an object"), std::string::npos);
  EXPECT_NE(message_of(R"({"prompt": 1, "response": "b"})")
                .find("\"prompt\" is number, must be a string"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"text": ""})").find("is empty"), std::string::npos);
  EXPECT_NE(message_of("").find("no examples are left"), std::string::npos);
}

TEST_F(JsonlDataset, SkipsAndCountsWhenAsked) {
  rules_.set_on_bad_example(config::ON_BAD_EXAMPLE_SKIP);
  const Dataset data = read("{\n{\"text\": \"x\"}\nnull\n");
  EXPECT_EQ(data.size(), 1);
  EXPECT_EQ(data.counts().skipped, 2);
}

TEST_F(JsonlDataset, OverlongPolicies) {
  rules_.set_max_length(5);
  const std::string line = R"({"prompt": "ab", "response": "cdefgh"})"
                           "\n"
                           R"({"text": "x"})"
                           "\n";
  EXPECT_NE(message_of(line).find("example has 10 tokens, data.max_length is 5"),
            std::string::npos);
  rules_.set_on_overlong(config::ON_OVERLONG_DROP);
  EXPECT_EQ(read(line).counts().dropped, 1);
  rules_.set_on_overlong(config::ON_OVERLONG_TRUNCATE);
  const Dataset cut = read(line);
  EXPECT_EQ(cut.counts().truncated, 1);
  EXPECT_EQ(cut[0].tokens.size(), 5U);
}

TEST_F(JsonlDataset, HeldOutPartAndRestAreDisjointAndComplete) {
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += R"({"prompt": "p)" + std::to_string(i) + R"(", "response": "r"})" + "\n";
  }
  rules_.set_eval_fraction(0.2);
  std::ofstream(path_) << text;
  config::DatasetRef ref;
  ref.add_files()->set_path(path_);
  const Dataset rest(ref, rules_, tokenizer_);
  ref.set_held_out_part(true);
  const Dataset held_out(ref, rules_, tokenizer_);
  EXPECT_EQ(held_out.size(), 10);
  EXPECT_EQ(rest.size(), 40);
  std::map<std::string, int> seen;
  for (std::int64_t i = 0; i < 10; ++i) {
    ++seen[std::string(held_out[i].prompt)];
  }
  for (std::int64_t i = 0; i < 40; ++i) {
    ++seen[std::string(rest[i].prompt)];
  }
  EXPECT_EQ(seen.size(), 50U);
}

TEST(TrainLoader, CommonStepsAreThoseNoLargerBudgetCutsOtherwise) {
  const Dataset data = pool(300);
  for (const std::int64_t budget : {1, 7, 60, 61, 62, 63, 64, 65, 299}) {
    const TrainLoader small(data, settings(budget), 5);
    const TrainLoader large(data, settings(300), 5);
    GlobalBatch a;
    GlobalBatch b;
    ASSERT_LE(small.num_common_steps(), small.num_steps());
    for (std::int64_t step = 0; step < small.num_common_steps(); ++step) {
      small.fill(step, a);
      large.fill(step, b);
      EXPECT_EQ(examples_of(a), examples_of(b));
    }
    EXPECT_GE(small.num_common_steps(), small.num_steps() - 1);
  }
  EXPECT_EQ(TrainLoader(data, settings(1), 5).num_common_steps(), 0);
  // Further epochs are no beginning of a larger budget.
  const std::int64_t once = TrainLoader(data, settings(60), 5).num_common_steps();
  EXPECT_LE(TrainLoader(data, settings(60, 3), 5).num_common_steps(), once + 1);
}

TEST(TrainLoader, TotalsOfStepsAddUp) {
  const Dataset data = pool(300);
  const TrainLoader loader(data, settings(200), 5);
  const auto squared = [](std::int64_t length) { return double(length * length); };
  const StepTotals all = loader.totals(0, loader.num_steps(), squared);
  EXPECT_EQ(all.tokens, loader.num_tokens());
  EXPECT_EQ(all.labels, loader.num_labels());
  EXPECT_DOUBLE_EQ(all.sum, loader.sum(squared));
  const StepTotals first = loader.totals(0, 3, squared);
  const StepTotals rest = loader.totals(3, loader.num_steps(), squared);
  EXPECT_EQ(first.tokens + rest.tokens, all.tokens);
  EXPECT_EQ(loader.totals(2, 2, squared).tokens, 0);
}

}  // namespace
}  // namespace finescale
