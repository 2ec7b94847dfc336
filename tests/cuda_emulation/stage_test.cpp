// SPDX-License-Identifier: Apache-2.0
// Stages by device: what is trained on a GPU is measured and answers there, and what has no GPU
// kernels runs on the CPU unless a GPU was demanded.
#include <sstream>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/parallel.h"
#include "tests/cuda_emulation/runtime/machine.h"
#include "tests/worker/stage_fixture.h"
#include "worker/eval/generate.h"
#include "worker/tool/prompted_model.h"
#include "worker/tool/score_tool.h"

namespace finescale {
namespace {

class GpuStages : public StageTest {
 protected:
  GpuStages() : StageTest(make_single_group()) {}
  void SetUp() override {
    StageTest::SetUp();
    set_num_threads(1);
    cuda::emulation::start_machine({.pace = cuda::emulation::Pace::kRandom, .seed = 7});
    for (const char* name : {"/train.jsonl", "/eval.jsonl", "/text.jsonl"}) {  // emulators are slow
      const std::string all = read_file(directory_ + name);
      write_file_atomically(directory_ + name, all.substr(0, all.find('\n', 250) + 1));
    }
  }
  void TearDown() override {
    cuda::emulation::start_machine({});  // tells of what was left behind
    StageTest::TearDown();
  }
  // behind: stages between training and evaluation.
  TrialStages small_stages(const std::string& method, const std::string& behind = "") {
    const std::string path = directory_ + "/run.yaml";
    write_file_atomically(path,
                          R"(name: gpu
base:
  architecture: {llama: {vocab_size: 280, hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 24, max_positions: 64}}
  tokenizer: {train: {vocab_size: 280}}
  pretrain: {data: text.jsonl, train: {steps: 1, learning_rate: 1e-2, batch: {examples: 2}}}
data: {max_length: 64, train: train.jsonl, eval: [{name: held_out, path: eval.jsonl}]}
trial:
  stages:
    - train: {steps: 2, learning_rate: 1e-2, batch: {examples: 2}, method: )" +
                              method + "}\n" + behind +
                              R"(    - evaluate: {metrics: [loss, exact_match], max_new_tokens: 4}
)");
    return expand_run(load_run(path, {}), [](const std::string& file) { return hash_file(file); });
  }
  // The rows of the evaluation.
  static std::vector<double> values(const Outcome& outcome) {
    proto::StageResult result;
    result.ParseFromString(outcome.rows);
    std::vector<double> all;
    for (const auto& row : result.evals()) {
      all.push_back(row.value());
    }
    return all;
  }
};

TEST_F(GpuStages, AreMeasuredAsOnTheCpu) {
  for (const std::string method : {"full", "lora", "qlora"}) {
    const TrialStages trial = small_stages(method);
    const auto cpu = run_all(*single_, trial, directory_ + "/cpu-" + method, 1);
    const auto gpu = run_all(*single_, trial, directory_ + "/gpu-" + method, 1, "cuda");
    ASSERT_EQ(cpu.size(), gpu.size());
    EXPECT_EQ(cpu.back().environment.find(" gpu="), std::string::npos);
    EXPECT_NE(gpu.back().environment.find(" gpu="), std::string::npos);
    const std::vector<double> wanted = values(cpu.back());
    const std::vector<double> got = values(gpu.back());
    ASSERT_EQ(wanted.size(), 2U);
    EXPECT_NEAR(got[0] / wanted[0], 1, 1e-5);
    EXPECT_EQ(got[1], wanted[1]);
  }
}

TEST_F(GpuStages, GenerateTheAnswersOfTheCpu) {
  for (const std::string method : {"full", "lora", "qlora"}) {
    const TrialStages trial = small_stages(
        method, "    - generate: {samples: 2, temperature: 0.9, top_k: 40, max_new_tokens: 4}\n");
    std::vector<std::string> answers;
    for (const char* device : {"cpu", "cuda"}) {
      const std::string where = directory_ + "/" + device + "-" + method;
      const auto outcomes = run_all(*single_, trial, where, 1, device);
      const bool on_gpu = outcomes[2].environment.find(" gpu=") != std::string::npos;
      EXPECT_EQ(on_gpu, std::string(device) == "cuda");
      answers.push_back(
          read_file(where + "/" + trial.stages[trial.stages.size() - 2].key() + "/data.jsonl"));
    }
    EXPECT_FALSE(answers[0].empty());
    EXPECT_EQ(answers[1], answers[0]);
  }
}

TEST_F(GpuStages, ScoreExamplesAsTheCpu) {
  for (const std::string method : {"full", "lora", "qlora", "dora"}) {
    const TrialStages trial = small_stages(method, "    - score: {}\n");
    const std::string key = trial.stages[trial.stages.size() - 2].key();
    std::vector<std::vector<double>> losses;
    for (const char* device : {"cpu", "auto"}) {
      const std::string where = directory_ + "/scored-" + device + "-" + method;
      const auto outcomes = run_all(*single_, trial, where, 1, device);
      const bool on_gpu =
          outcomes[outcomes.size() - 2].environment.find(" gpu=") != std::string::npos;
      EXPECT_EQ(on_gpu, std::string(device) == "auto" && method != "dora");
      std::istringstream lines(
          read_file(std::string(where).append("/").append(key) + "/data.jsonl"));
      std::vector<double>& all = losses.emplace_back();
      for (std::string line; std::getline(lines, line);) {
        all.push_back(nlohmann::json::parse(line).at("loss"));
      }
    }
    ASSERT_EQ(losses[0].size(), losses[1].size());
    EXPECT_GT(losses[0].size(), 1U);
    for (std::size_t i = 0; i < losses[0].size(); ++i) {
      EXPECT_NEAR(losses[1][i] / losses[0][i], 1, 1e-5) << method << " " << i;
    }
  }
}

// What `generate` and `chat` open, an adapter merged into its base.
TEST_F(GpuStages, AreAskedByCommandsAsOnTheCpu) {
  for (const std::string method : {"full", "lora"}) {
    const TrialStages trial = small_stages(method);
    const std::string where = directory_ + "/asked-" + method;
    (void)run_all(*single_, trial, where, 1, "cuda");
    GenerationOptions options;
    options.max_new = 5;
    std::vector<std::vector<std::int32_t>> answers;
    for (const char* device : {"cpu", "auto", "cuda"}) {
      PromptedModel model(where + "/" + trial.stages[trial.stages.size() - 2].key(), device);
      const std::vector<std::vector<std::int32_t>> prompt = {model.prompt_tokens("abc", false)};
      answers.push_back(Generator(model.eval()).run(prompt, options)[0].tokens);
    }
    EXPECT_EQ(answers[1], answers[0]);
    EXPECT_EQ(answers[2], answers[0]);
  }
}

// What `score` answers: a loss per token, and the largest logits behind the last one.
TEST_F(GpuStages, AreMeasuredByCommandsAsOnTheCpu) {
  for (const std::string method : {"full", "lora"}) {
    const TrialStages trial = small_stages(method);
    const std::string where = directory_ + "/scored-" + method;
    (void)run_all(*single_, trial, where, 1, "cuda");
    const std::string data = where + "/ids.jsonl";
    write_file(data, "{\"ids\": [5, 9, 2, 7, 7, 1]}\n{\"ids\": [3, 4, 8]}\n");
    std::vector<nlohmann::json> answers;
    for (const char* device : {"cpu", "auto"}) {
      OpenedModel model = open_model(where + "/" + trial.stages[trial.stages.size() - 2].key());
      answers.push_back(nlohmann::json::parse(score_model(model, {data, 3, 1, device})));
    }
    EXPECT_EQ(answers[1]["tokens"], 7);
    for (std::size_t i = 0; i < 2; ++i) {
      const nlohmann::json& cpu = answers[0]["examples"][i];
      const nlohmann::json& gpu = answers[1]["examples"][i];
      ASSERT_EQ(gpu["logprobs"].size(), cpu["logprobs"].size());
      EXPECT_TRUE(gpu["logprobs"][0].is_null());
      for (std::size_t t = 1; t < cpu["logprobs"].size(); ++t) {
        EXPECT_NEAR(gpu["logprobs"][t].get<double>() / cpu["logprobs"][t].get<double>(), 1, 1e-5);
      }
      ASSERT_EQ(gpu["top"].size(), 3U);
      for (std::size_t k = 0; k < 3; ++k) {
        EXPECT_EQ(gpu["top"][k]["id"], cpu["top"][k]["id"]);
        EXPECT_NEAR(gpu["top"][k]["logit"].get<double>(), cpu["top"][k]["logit"].get<double>(),
                    1e-5);
      }
    }
  }
}

TEST_F(GpuStages, RunOnTheCpuWhereThereAreNoKernels) {
  const TrialStages trial = small_stages("dora");
  const auto cpu = run_all(*single_, trial, directory_ + "/cpu", 1);
  const auto mixed = run_all(*single_, trial, directory_ + "/auto", 1, "auto");
  ASSERT_EQ(mixed.size(), 3U);  // pretrain, train, evaluate
  EXPECT_NE(mixed[0].environment.find(" gpu="), std::string::npos);
  EXPECT_EQ(mixed[1].environment.find(" gpu="), std::string::npos);
  EXPECT_EQ(mixed[2].environment.find(" gpu="), std::string::npos);
  EXPECT_NEAR(values(mixed.back())[0] / values(cpu.back())[0], 1, 1e-5);
  EXPECT_THROW((void)run_all(*single_, trial, directory_ + "/cuda", 1, "cuda"), Error);
}

}  // namespace
}  // namespace finescale
