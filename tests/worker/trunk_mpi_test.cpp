// SPDX-License-Identifier: Apache-2.0
// A run that goes on from a chain of trunks is the run alone, bit for bit: tensors and every row.
#include "configs/canonical.h"
#include "tests/comm/mpi_main.h"
#include "tests/worker/stage_fixture.h"

namespace finescale {
namespace {

class TrunkMpi : public StageTest {
 protected:
  // The train stage of a run of this budget; `fields` are the others.
  config::StageSpec run_of(const std::string& fields, std::int64_t budget) {
    return stages("{data_budget: " + std::to_string(budget) + ", " + fields + "}").stages[2];
  }

  static void start_from(config::StageSpec& spec, const std::string& trunk) {
    if (!trunk.empty()) {
      spec.mutable_train()->set_start(trunk);
      spec.add_inputs(trunk);
    }
  }

  static config::StageSpec trunk_of(const config::StageSpec& run, const std::string& before) {
    config::StageSpec trunk = run;
    trunk.mutable_train()->set_trunk(true);
    trunk.set_label("trunk");
    trunk.set_key(stage_key(trunk));
    start_from(trunk, before);
    return trunk;
  }

  // Executes and demands that it is done.
  proto::StageResult done(StageExecutor& executor, const config::StageSpec& spec,
                          const std::string& where, const StageHooks& hooks = {}) {
    const proto::StageResult result = execute(*world_, executor, spec, where, hooks);
    EXPECT_EQ(result.outcome(), proto::StageResult::DONE) << result.why();
    return result;
  }

  // What the run left, apart from the note on who has done which part.
  static Outcome without_shares(const config::StageSpec& spec, const std::string& where) {
    Outcome all = outcome(spec, where);
    proto::StageResult result;
    result.ParseFromString(all.rows);
    result.clear_inherited();
    all.rows = result.SerializeAsString();
    return all;
  }

  void expect_same_bits(const std::string& fields) {
    const TrialStages base = stages(fields.empty() ? "{}" : "{" + fields + "}");
    const std::vector<std::int64_t> budgets = {40, 80, 160};
    std::string before;
    StageExecutor executor(*world_, {.threads = 1, .device = "cpu"}, *logger_);
    const std::string alone = directory_ + "/alone";
    const std::string shared = directory_ + "/shared";
    for (const std::string& where : {alone, shared}) {
      (void)done(executor, base.stages[0], where);
      (void)done(executor, base.stages[1], where);
    }
    std::int64_t executed = 0;
    for (const std::int64_t budget : budgets) {
      const config::StageSpec run = run_of(fields, budget);
      const proto::StageResult whole = done(executor, run, alone);
      const config::StageSpec trunk = trunk_of(run, before);
      const proto::StageResult begun = done(executor, trunk, shared);
      config::StageSpec branch = run;
      start_from(branch, trunk.key());
      EXPECT_EQ(stage_key(branch), run.key());  // where it starts from is not in the key
      const proto::StageResult ended = done(executor, branch, shared);
      EXPECT_EQ(ended.inherited().tokens(), begun.tokens());
      EXPECT_EQ(ended.tokens(), whole.tokens());
      EXPECT_EQ(ended.train_flops(), whole.train_flops());
      EXPECT_LT(begun.tokens(), whole.tokens());
      executed += begun.tokens() - begun.inherited().tokens();
      executed += ended.tokens() - ended.inherited().tokens();
      if (world_->rank() == 0) {
        EXPECT_TRUE(without_shares(branch, shared) == without_shares(run, alone)) << budget;
        EXPECT_FALSE(outcome(run, alone).tensors.empty());
      }
      before = trunk.key();
      whole_tokens_ += whole.tokens();
    }
    EXPECT_LT(executed, whole_tokens_);
  }

  std::int64_t whole_tokens_ = 0;
};

TEST_F(TrunkMpi, FullIsTheBitsOfTheRunAlone) {
  expect_same_bits(
      "method: full, learning_rate: 3e-3, batch: {examples: 12}, micro_batch_tokens: 128,"
      " schedule: {wsd: {decay: 0.25}}, warmup: 2, weight_decay: 0.01");
}
TEST_F(TrunkMpi, LoraOnBatchesOfTokensIsTheBitsOfTheRunAlone) {
  expect_same_bits(
      "method: {lora: {rank: 4}}, learning_rate: 3e-3, batch: {tokens: 170},"
      " micro_batch_tokens: 64, schedule: wsd, log_every: 3");
}
TEST_F(TrunkMpi, TheBestWeightsAndPackedMomentsTravel) {
  expect_same_bits(
      "method: full, learning_rate: 3e-2, batch: {examples: 10}, optimizer_state: int8,"
      " schedule: {wsd: {decay: 0.5, final_ratio: 0.1}}, eval_every: 2, keep: best");
}
// Small budgets are repeated to reach the updates asked for: their trunks are shorter, never wrong.
TEST_F(TrunkMpi, EpochsAddedByMinStepsAreNotShared) {
  expect_same_bits(
      "method: {lora: {rank: 2}}, learning_rate: 3e-3, batch: {examples: 16}, min_steps: 9,"
      " schedule: constant");
}

TEST_F(TrunkMpi, ABranchThatWasStoppedGoesOnFromItsOwnCheckpoint) {
  const std::string fields =
      "method: full, learning_rate: 3e-3, batch: {examples: 10}, schedule: {wsd: {decay: 0.5}}";
  const TrialStages base = stages("{" + fields + "}");
  const config::StageSpec run = run_of(fields, 160);
  const config::StageSpec trunk = trunk_of(run_of(fields, 80), "");
  config::StageSpec branch = run;
  start_from(branch, trunk.key());
  StageExecutor executor(*world_, {.threads = 1, .device = "cpu"}, *logger_);
  for (const std::string where : {"/alone", "/shared"}) {
    (void)done(executor, base.stages[0], directory_ + where);
    (void)done(executor, base.stages[1], directory_ + where);
  }
  (void)done(executor, run, directory_ + "/alone");
  (void)done(executor, trunk, directory_ + "/shared");
  StageHooks hooks;
  hooks.on_progress = [&](const proto::Progress& progress) { return progress.step() == 7; };
  EXPECT_EQ(execute(*world_, executor, branch, directory_ + "/shared", hooks).outcome(),
            proto::StageResult::STOPPED);
  const proto::StageResult ended = done(executor, branch, directory_ + "/shared");
  EXPECT_EQ(ended.inherited().steps(), 4);  // of 80 examples: 8 updates, half of them decay
  if (world_->rank() == 0) {
    EXPECT_TRUE(without_shares(branch, directory_ + "/shared") ==
                without_shares(run, directory_ + "/alone"));
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
