// SPDX-License-Identifier: Apache-2.0
// What holds for every method that the schema knows once it has trained: what it left gives the
// same model when it is read, by the commands of a user and by PEFT, and generates as it measures.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <mutex>

#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "configs/method_rules.h"
#include "core/error.h"
#include "core/files.h"
#include "kernels/cross_entropy.h"
#include "tests/worker/kind_fixture.h"
#include "worker/base_model.h"
#include "worker/checkpoint_tensors.h"
#include "worker/eval/generate.h"
#include "worker/import/adapter.h"
#include "worker/import/peft.h"
#include "worker/tool/adapted_model.h"

namespace finescale::kind_test {
namespace {

std::vector<MicroBatch> some_tokens() {
  MicroBatch batch;
  batch.tokens = {5, 17, 3, 40, 21, 8};
  batch.labels = {17, 3, 40, 21, 8, kIgnoreLabel};
  batch.positions = {0, 1, 2, 3, 4, 5};
  batch.segments = {0, 6};
  batch.examples = {0};
  batch.num_labels = 5;
  return {batch};
}

// Weights and adapter as stages leave them.
OpenedModel opened(TrainedRun& run, const Choice& choice, const std::string& directory) {
  const auto single = make_single_group();
  std::vector<CheckpointTensor> base;
  for (const auto& piece : run.base->pieces) {
    for (CheckpointTensor& tensor : kept_tensors("/model", piece->weights, piece->store)) {
      tensor.writes = true;
      base.push_back(std::move(tensor));
    }
  }
  CheckpointState state;
  state.model_text = canonical_text(small_model(choice.biased));
  write_checkpoint(*single, directory + "/base.h5", state, base);
  config::StageSpec spec;
  *spec.mutable_train()->mutable_train() = run.train;
  spec.mutable_train()->set_seed(1);
  state.stage_text = canonical_text(spec);
  write_checkpoint(*single, directory + "/own.h5", state,
                   run.model->share_for_writing(false, false));
  run.model->have_written();
  OpenedModel model;
  model.weights = make_checkpoint_source(directory + "/base.h5");
  model.adapter = read_own_adapter(directory + "/own.h5");
  model.config = small_model(choice.biased);
  return model;
}

// What is no change of matrices goes to PEFT's layout and back without a changed bit, if there is
// one for it.
void expect_peft_keeps(const Adapter& adapter, const config::ModelConfig& model,
                       const std::string& directory) {
  make_directories(directory);
  if (adapter.method.has_bottleneck()) {
    EXPECT_THROW(write_peft(adapter, model, "", directory), Error);
    return;
  }
  write_peft(adapter, model, "", directory);
  const Adapter again = read_peft(directory, model);
  if (adapter.method.prefix_tuning().prefix_projection()) {  // what its network made
    EXPECT_FALSE(again.apart.empty());
    return;
  }
  ASSERT_EQ(again.apart.size(), adapter.apart.size());
  for (const auto& [name, tensor] : adapter.apart) {
    EXPECT_TRUE(again.apart.at(name).shape == tensor.shape) << name;
    EXPECT_TRUE(again.apart.at(name).values == tensor.values) << name;
  }
}

// Merged, or beside the weights where that cannot be, as the commands of a user have them.
TEST(KindsOfMethods, AdaptersThatAreReadGiveTheSameModel) {
  const std::string directory =
      testing::TempDir() + "finescale_merged_" + std::to_string(::getpid());
  make_directories(directory);
  for (const Kind& method : methods()) {
    SCOPED_TRACE(method.name);
    Choice choice = {.method = method};
    choice.biased = !fits(choice);
    const auto single = make_single_group();
    TrainedRun run(*single, choice);
    if (run.model->method().changes_base() || quantisation_of(run.train.method())) {
      continue;
    }
    perturb(trained(*run.model), 0.1);
    run.model->have_read();
    OpenedModel left = opened(run, choice, directory);
    EXPECT_EQ(left.adapter->why_apart.empty(), !is_beside_weights(run.train.method()));
    if (is_beside_weights(run.train.method())) {
      expect_peft_keeps(*left.adapter, left.config, directory + "/peft_" + method.name);
      OpenedModel refused = opened(run, choice, directory);
      EXPECT_THROW((void)merged_weights(refused), Error);
    }
    MeasuredModel whole(run.engine, adapted_model(run.engine, left));
    const double wanted = run.model->eval().segment_losses(some_tokens(), 8).front();
    EXPECT_NEAR(whole.eval().segment_losses(some_tokens(), 8).front(), wanted, 1e-4);
  }
  std::filesystem::remove_all(directory);
}

// The token that decoding adds is the one that a forward pass finds likeliest.
TEST(KindsOfMethods, GenerateAsTheyMeasure) {
  for (const Kind& method : methods()) {
    SCOPED_TRACE(method.name);
    Choice choice = {.method = method};
    choice.biased = !fits(choice);
    const auto single = make_single_group();
    TrainedRun run(*single, choice);
    perturb(trained(*run.model), 0.1);
    run.model->have_read();
    if (run.model->method().changes_base() && !run.model->method().trains_base()) {
      run.model->method().values_changed();  // what trains is a copy
    }
    const std::vector<std::int32_t> prompt = {5, 17, 3, 40, 21};
    std::vector<MicroBatch> batches;
    for (std::int32_t token = 0; token < kVocab; ++token) {
      MicroBatch batch;
      batch.tokens = prompt;
      batch.labels.assign(prompt.size(), kIgnoreLabel);
      batch.labels.back() = token;
      batch.positions = {0, 1, 2, 3, 4};
      batch.segments = {0, 5};
      batch.examples = {0};
      batch.num_labels = 1;
      batches.push_back(std::move(batch));
    }
    const std::vector<double> losses = run.model->eval().segment_losses(batches, 8);
    const auto likeliest = std::min_element(losses.begin(), losses.end()) - losses.begin();
    const auto answer = Generator(run.model->eval()).greedy({prompt}, 1, -1);
    EXPECT_EQ(answer.at(0).at(0), likeliest);
  }
}

// Virtual tokens of which each is a token of the vocabulary are these tokens in front of the text.
TEST(KindsOfMethods, APromptOfKnownTokensIsThatText) {
  for (const bool biased : {false, true}) {
    Choice choice = {.method = find(methods(), "prompt_tuning_prompt_tuning_init_2")};
    choice.biased = biased;
    choice.precision = config::PRECISION_F64;
    const auto single = make_single_group();
    TrainedRun run(*single, choice);
    MicroBatch text = some_tokens().front();
    text.tokens.insert(text.tokens.begin(), {9, 4, 9});
    text.labels.insert(text.labels.begin(), 3, kIgnoreLabel);
    text.positions = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    text.segments = {0, 9};
    MeasuredModel base(run.engine, {run.base, {}});
    EXPECT_NEAR(run.model->eval().segment_losses(some_tokens(), 8).front(),
                base.eval().segment_losses({text}, 16).front(), 1e-10);
  }
}

// Answers of every mesh, several sequences at once, from keys that all of them share.
TEST(KindsOfMethods, VirtualTokensAnswerAlikeOnEveryMesh) {
  const std::vector<std::vector<std::int32_t>> prompts = {{5, 17, 3}, {40}, {21, 8, 9, 1, 2}};
  for (const char* name : {"prompt_tuning", "prefix_tuning"}) {
    Choice choice = {.method = find(methods(), name)};
    choice.precision = config::PRECISION_F64;
    const auto answers = [&](const MeshShape& mesh) {
      std::vector<std::vector<std::int32_t>> all;
      std::mutex mutex;
      run_local_ranks(mesh.tensor * mesh.pipeline, [&](Group& group) {
        TrainedRun run(group, choice, mesh);
        run.steps(0, 2);
        auto own = Generator(run.model->eval()).greedy(prompts, 6, -1);
        const std::scoped_lock lock(mutex);
        all = std::move(own);
      });
      return all;
    };
    const auto alone = answers({});
    EXPECT_EQ(alone.at(1).size(), 6U);
    EXPECT_EQ(answers({.tensor = 2}), alone) << name;
    EXPECT_EQ(answers({.pipeline = 2}), alone) << name;
  }
}

}  // namespace
}  // namespace finescale::kind_test
