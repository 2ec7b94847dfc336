// SPDX-License-Identifier: Apache-2.0
// Chains of stages that make data: the same bytes on every number of ranks, stopped or not, and
// for a prompt the same answers whatever else is asked.
#include "tests/comm/mpi_main.h"
#include "tests/worker/stage_fixture.h"
#include "worker/export/export_model.h"
#include "worker/resident.h"
#include "worker/single_engine.h"

namespace finescale {
namespace {

constexpr const char* kChain = R"(
    - train: {method: full, epochs: 6, learning_rate: 3e-3, batch: {examples: 16}}
    - generate: {samples: 3, data_budget: 50, temperature: 0.8, max_new_tokens: 12}
    - score: {}
    - select: {grape: {}}
    - {name: again, from: [base, select], train: {method: {lora: {rank: 4}}, steps: 4, batch: {examples: 8}}}
    - evaluate: {metrics: [loss, accuracy, format_error, step_error, answer_error], max_new_tokens: 12}
)";

class DataStages : public StageTest {
 protected:
  // Tokenizer, pretrain, then the stages given. Letters are tokens.
  [[nodiscard]] TrialStages trial(const std::string& stages) {
    const std::string path = directory_ + "/chain-" + std::to_string(world_->rank()) + ".yaml";
    std::string text = R"(name: chain
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 260}}
  pretrain: {data: {task: {edit: {length: 3}, examples: 300}}, train: {steps: 20, learning_rate: 3e-3, batch: {tokens: 512}}}
data:
  train: {task: {edit: {operations: [copy, reverse], length: 4}, examples: 200}}
  eval: [{name: held_out, task: {edit: {operations: [copy, reverse], length: 4}, examples: 40}}]
  max_length: 64
trial:
  stages:)" + stages;
    write_file_atomically(path, text);
    return expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
  }

  static std::string data_of(const config::StageSpec& spec, const std::string& where) {
    const std::string file = where + "/" + spec.key() + "/data.jsonl";
    return std::filesystem::exists(file) ? read_file(file) : "";
  }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

TEST_F(DataStages, RanksChangeNoByte) {
  const TrialStages chain = trial(kChain);
  ASSERT_EQ(chain.stages.size(), 8U);
  std::vector<Outcome> alone;
  if (world_->rank() == 0) {
    alone = run_all(*single_, chain, directory_ + "/alone", 1);
  }
  world_->barrier();
  const std::vector<Outcome> together = run_all(*world_, chain, directory_ + "/together", 1);
  if (world_->rank() != 0) {
    return;
  }
  ASSERT_EQ(alone.size(), together.size());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(alone[i] == together[i]) << "stage " << i;
  }
  for (const config::StageSpec& spec : chain.stages) {
    const std::string data = data_of(spec, directory_ + "/alone");
    EXPECT_EQ(data, data_of(spec, directory_ + "/together")) << spec.label();
    const bool leaves_data = spec.has_generate() || spec.has_score() || spec.has_select();
    EXPECT_EQ(!data.empty(), leaves_data) << spec.label();
  }
  EXPECT_GT(lines_of(data_of(chain.stages[3], directory_ + "/alone")).size(), 100U);
  const auto chosen = lines_of(data_of(chain.stages[5], directory_ + "/alone"));
  EXPECT_GT(chosen.size(), 40U);
  EXPECT_LE(chosen.size(), 50U);
  EXPECT_NE(chosen.front().find("\"loss\""), std::string::npos);
  // The four shares of the verifier sum to one.
  proto::StageResult result;
  result.ParseFromString(read_file(directory_ + "/alone/" + chain.stages[7].key() + "/result.pb"));
  double sum = 0;
  for (const proto::EvalRow& row : result.evals()) {
    sum += row.metric() == "loss" ? 0 : row.value();
  }
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST_F(DataStages, StoppedAndContinuedIsTheSameBytes) {
  const TrialStages chain = trial(kChain);
  const config::StageSpec& generate = chain.stages[3];
  ASSERT_TRUE(generate.has_generate());
  (void)run_all(*world_, chain, directory_ + "/whole", 1);
  const std::string where = directory_ + "/parts";
  int stops = 0;
  for (bool done = false; !done;) {
    StageExecutor executor(*world_, {.threads = 1, .device = "cpu"}, *logger_);
    for (int i = 0; i < 3; ++i) {
      (void)execute(*world_, executor, chain.stages[static_cast<std::size_t>(i)], where);
    }
    StageHooks hooks;
    hooks.on_progress = [&](const proto::Progress&) { return true; };  // after every group
    done = execute(*world_, executor, generate, where, hooks).outcome() == proto::StageResult::DONE;
    stops += done ? 0 : 1;
    ASSERT_LT(stops, 20);
  }
  EXPECT_EQ(stops > 0, world_->size() < 3);  // three groups of answers
  if (world_->rank() == 0) {
    EXPECT_EQ(data_of(generate, where), data_of(generate, directory_ + "/whole"));
  }
}

// 20 of the 50 prompts are asked again, and 2 of the 3 answers to each.
TEST_F(DataStages, AnswersDoNotDependOnWhatElseIsAsked) {
  const std::string few = std::string(kChain).replace(
      std::string(kChain).find("samples: 3, data_budget: 50"), 27, "samples: 2, data_budget: 20");
  const TrialStages more_chain = trial(kChain);
  const TrialStages few_chain = trial(few);
  const std::string where = directory_ + "/asked";
  (void)run_all(*world_, more_chain, where, 1);
  (void)run_all(*world_, few_chain, where, 1);
  if (world_->rank() != 0) {
    return;
  }
  EXPECT_EQ(more_chain.stages[2].key(), few_chain.stages[2].key());
  ASSERT_NE(more_chain.stages[3].key(), few_chain.stages[3].key());
  const auto more = lines_of(data_of(more_chain.stages[3], where));
  const auto less = lines_of(data_of(few_chain.stages[3], where));
  EXPECT_GT(less.size(), 30U);
  for (const std::string& line : less) {
    EXPECT_NE(std::find(more.begin(), more.end(), line), more.end()) << line;
  }
}

// Answers of a base whose files store bf16, and of an adapter beside it, are those of the same
// values stored as f32, on tensor ranks too; the base takes half the memory.
TEST_F(DataStages, GenerateFromBf16AsFromItsValues) {
  const TrialStages made = trial("\n    - train: {epochs: 2, batch: {examples: 16}}\n");
  (void)run_all(*world_, made, directory_ + "/made", 1);
  const std::string halves = directory_ + "/bf16";
  const std::string values = directory_ + "/f32";
  if (world_->rank() == 0) {
    OpenedModel trained = open_model(directory_ + "/made/" + made.stages.back().key());
    export_model(trained, {.type = StoredType::kBf16, .target = halves});
    OpenedModel rounded = open_model(halves);
    export_model(rounded, {.target = values});
  }
  world_->barrier();
  for (const int tensor : {1, 2}) {
    if (world_->size() % tensor != 0) {
      continue;
    }
    std::map<std::string, std::vector<std::string>> made_by;
    for (const std::string& base : {halves, values}) {
      const std::string path = directory_ + "/asked-" + std::to_string(world_->rank()) + ".yaml";
      write_file_atomically(path, "name: asked\nbase: {model: " + base + R"(}
data: {train: {task: {edit: {operations: [copy, reverse], length: 4}, examples: 40}}, max_length: 64}
resources: {ranks_per_gang: )" + std::to_string(world_->size()) +
                                      "}\nmesh: {data: " + std::to_string(world_->size() / tensor) +
                                      ", tensor: " + std::to_string(tensor) + R"(}
trial:
  stages:
    - generate: {samples: 2, temperature: 0.8, max_new_tokens: 12}
    - {name: low, from: [base, generate], train: {method: {lora: {rank: 2}}, steps: 2, batch: {examples: 8}}}
    - {name: again, from: [low], generate: {samples: 2, temperature: 0.8, max_new_tokens: 12}}
)");
      const TrialStages asked =
          expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
      ASSERT_EQ(asked.stages.size(), 3U);
      const std::string where = base + "-" + std::to_string(tensor);
      (void)run_all(*world_, asked, where, 1);
      for (const int stage : {0, 2}) {
        made_by[base].push_back(data_of(asked.stages[static_cast<std::size_t>(stage)], where));
      }
      const bool is_halved = base == halves;
      Resident resident(*single_, "");
      const SingleEngine engine;
      const config::ModelSource& model = asked.stages[0].generate().model();
      const auto opened = [&](ModelUse use) {
        return resident.adapted(engine.engine(), model, DType::kF32, {}, use).base;
      };
      const auto first = opened(ModelUse::kGenerates);
      EXPECT_EQ(first->pieces.front()->rounded != nullptr, is_halved);
      EXPECT_EQ(opened(ModelUse::kGenerates), first);
      const long holders = first.use_count();
      const auto whole = opened(ModelUse::kMeasures);
      EXPECT_EQ(first.use_count() < holders, is_halved) << "values take its place";
      EXPECT_EQ(whole == first, !is_halved);
      EXPECT_EQ(whole->pieces.front()->rounded, nullptr);
      EXPECT_EQ(opened(ModelUse::kGenerates), whole) << "what is there is taken";
    }
    EXPECT_GT(made_by[values][0].size(), 1000U);
    EXPECT_EQ(made_by[halves], made_by[values]) << "tensor " << tensor;
  }
}

// A pair is a right answer and a wrong one; DPO learns from them.
TEST_F(DataStages, PairsOfOwnAnswersAreLearntFrom) {
  const TrialStages chain = trial(R"(
    - train: {method: full, epochs: 12, learning_rate: 3e-3, batch: {examples: 16}}
    - generate: {samples: 8, data_budget: 60, temperature: 1, max_new_tokens: 12}
    - select: {pairs: {per_prompt: 2}}
    - {name: prefer, train: {objective: dpo, steps: 3, batch: {examples: 4}, learning_rate: 1e-4}}
    - evaluate: {}
)");
  (void)run_all(*world_, chain, directory_ + "/pairs", 1);
  if (world_->rank() == 0) {
    const std::string data = data_of(chain.stages[4], directory_ + "/pairs");
    EXPECT_NE(data.find("\"chosen\""), std::string::npos);
    EXPECT_NE(data.find("\"rejected\""), std::string::npos);
  }
}

constexpr const char* kSurgery = R"(
    - {name: one, train: {method: full, steps: 4, learning_rate: 3e-3, batch: {examples: 8}}}
    - {name: two, from: [base], train: {method: {lora: {rank: 4}}, steps: 4, learning_rate: 3e-3, batch: {examples: 8}}}
    - {name: soup, from: [one, two], transform: {average: {weights: [1, 3]}}}
    - {name: lean, from: [soup, base], transform: {svd: 2}}
    - {name: back, from: [lean, base], transform: {reset: {}, tensors: [model.layers.1.*]}}
    - evaluate: {metrics: [loss, accuracy, calibration_error, confidence], max_new_tokens: 8}
)";

// Weights and an adapter, averaged, cut to a rank, a layer set back: the same bits on any ranks.
TEST_F(DataStages, SurgeryIsTheSameOnAnyRanks) {
  const TrialStages chain = trial(kSurgery);
  ASSERT_EQ(chain.stages.size(), 8U);
  std::vector<Outcome> alone;
  if (world_->rank() == 0) {
    alone = run_all(*single_, chain, directory_ + "/alone", 1);
  }
  world_->barrier();
  const std::vector<Outcome> together = run_all(*world_, chain, directory_ + "/together", 1);
  if (world_->rank() != 0) {
    return;
  }
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(alone[i] == together[i]) << "stage " << i;
  }
  // Layer 1 is the base's again, bit by bit; layer 0 is not.
  const auto& base = alone[0].tensors;
  const auto& back = alone[5].tensors;
  ASSERT_EQ(back.size(), base.size());
  int same = 0;
  int other = 0;
  for (const auto& [path, bytes] : base) {
    if (path.find("model.layers.1.") != std::string::npos) {
      EXPECT_EQ(back.at(path), bytes) << path;
      ++same;
    } else if (path.find("model.layers.0.mlp") != std::string::npos) {
      EXPECT_NE(back.at(path), bytes) << path;
      ++other;
    }
  }
  EXPECT_GT(same, 0);
  EXPECT_GT(other, 0);
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
