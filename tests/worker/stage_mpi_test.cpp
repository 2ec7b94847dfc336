// SPDX-License-Identifier: Apache-2.0
// With numerics: exact a stage is the same bits on every number of ranks and threads, wherever it
// stands in a gang's life, and whether or not it was interrupted.
#include <malloc.h>

#include <algorithm>

#include "tests/comm/mpi_main.h"
#include "tests/worker/stage_fixture.h"

namespace finescale {
namespace {

constexpr const char* kFull =
    "{method: full, epochs: 2, learning_rate: 3e-3, batch: {examples: 24}, micro_batch_tokens: 128,"
    " weight_decay: 0.01, schedule: cosine, warmup: 2}";
constexpr const char* kLong =
    "{method: full, epochs: 12, learning_rate: 3e-3, batch: {examples: 24}, weight_decay: 0.01}";
constexpr const char* kLora =
    "{method: {lora: {rank: 4}}, epochs: 2, learning_rate: 3e-3, batch: {tokens: 300},"
    " micro_batch_tokens: 64}";

std::string with_state(std::string train, const std::string& state) {
  return train.insert(1, "optimizer_state: " + state + ", ");
}

class StageMpi : public StageTest {
 protected:
  // The last training stage, stopped every third step.
  void expect_stops_change_nothing(const std::string& kind);
  // Begun by one rank, finished by all.
  void expect_ranks_may_change(const std::string& kind);

  // Rank 0 alone, in a group of one; then all ranks know whether the world's outcome is equal.
  void expect_world_equals_one_rank(const char* train, int threads_alone, int threads_together) {
    const TrialStages trial = stages(train);
    std::vector<Outcome> alone;
    if (world_->rank() == 0) {
      alone = run_all(*single_, trial, directory_ + "/alone", threads_alone);
    }
    world_->barrier();
    const std::vector<Outcome> together =
        run_all(*world_, trial, directory_ + "/together", threads_together);
    if (world_->rank() == 0) {
      ASSERT_EQ(alone.size(), together.size());
      for (std::size_t i = 0; i < alone.size(); ++i) {
        EXPECT_TRUE(alone[i] == together[i]) << "stage " << i;
      }
      EXPECT_FALSE(alone[1].tensors.empty());
    }
  }
};

TEST_F(StageMpi, FullIsTheBitsOfOneRank) {
  expect_world_equals_one_rank(kFull, 1, 1);
}
TEST_F(StageMpi, LoraIsTheBitsOfOneRank) {
  expect_world_equals_one_rank(kLora, 1, 1);
}
TEST_F(StageMpi, ThreadsChangeNoBit) {
  expect_world_equals_one_rank(kFull, 3, 2);
}

TEST_F(StageMpi, AnotherSeedIsOtherBits) {  // the comparison can fail
  const TrialStages trial = stages(kLora);
  const TrialStages other = stages(
      "{method: {lora: {rank: 4}}, epochs: 2, learning_rate: 3.0001e-3,"
      " batch: {tokens: 300}, micro_batch_tokens: 64}");
  const auto a = run_all(*world_, trial, directory_ + "/a", 1);
  const auto b = run_all(*world_, other, directory_ + "/b", 1);
  if (world_->rank() == 0) {
    EXPECT_TRUE(a[0] == b[0]);
    EXPECT_FALSE(a[1] == b[1]);
  }
}

void StageMpi::expect_stops_change_nothing(const std::string& kind) {
  const TrialStages trial = stages(kind);
  const auto whole = run_all(*world_, trial, directory_ + "/whole", 1);
  const std::string where = directory_ + "/parts";
  const config::StageSpec& train = trial.stages[2];
  ASSERT_TRUE(train.has_train());
  int stops = 0;
  for (bool done = false; !done;) {
    StageExecutor executor(*world_, {.threads = 1, .device = "cpu"}, *logger_);
    (void)execute(*world_, executor, trial.stages[0], where);
    (void)execute(*world_, executor, trial.stages[1], where);
    int steps = 0;
    StageHooks hooks;
    hooks.on_progress = [&](const proto::Progress&) { return ++steps == 3; };
    const proto::StageResult result = execute(*world_, executor, train, where, hooks);
    done = result.outcome() == proto::StageResult::DONE;
    stops += done ? 0 : 1;
    ASSERT_LT(stops, 20);
  }
  EXPECT_GE(stops, 3);
  if (world_->rank() == 0) {
    EXPECT_TRUE(outcome(train, where) == whole[1]);
  }
}

TEST_F(StageMpi, StoppedAndContinuedIsTheSameBits) {
  expect_stops_change_nothing(kFull);
}
TEST_F(StageMpi, StoppedAndContinuedWithMomentsInBf16IsTheSameBits) {
  expect_stops_change_nothing(with_state(kFull, "bf16"));
}
TEST_F(StageMpi, StoppedAndContinuedWithMomentsInOneByteIsTheSameBits) {
  expect_stops_change_nothing(with_state(kFull, "int8"));
}

// The evaluated loss after about 80 updates, 2.90957 in full: measured 2e-5 (bf16) and 6e-3 (int8)
// from it.
TEST_F(StageMpi, PackedMomentsTrainAsFullOnes) {
  std::map<std::string, double> losses;
  for (const std::string state : {"full", "bf16", "int8"}) {
    const TrialStages trial = stages(with_state(kLong, state));
    (void)run_all(*world_, trial, directory_ + "/" + state, 1);
    if (world_->rank() == 0) {
      proto::StageResult result;
      result.ParseFromString(
          read_file(directory_ + "/" + state + "/" + trial.stages[3].key() + "/result.pb"));
      EXPECT_EQ(result.evals(0).metric(), "loss");
      losses[state] = result.evals(0).value();
      std::cout << state << " " << losses[state] << "\n";
    }
  }
  if (world_->rank() == 0) {
    EXPECT_NEAR(losses["bf16"], losses["full"], 1e-3);
    EXPECT_NEAR(losses["int8"], losses["full"], 0.02);
    EXPECT_NE(losses["bf16"], losses["full"]);
    EXPECT_NE(losses["int8"], losses["full"]);
  }
}

void StageMpi::expect_ranks_may_change(const std::string& kind) {
  const TrialStages trial = stages(kind);
  const auto whole = run_all(*world_, trial, directory_ + "/whole", 1);
  const std::string where = directory_ + "/parts";
  const config::StageSpec& train = trial.stages[2];
  if (world_->rank() == 0) {
    StageExecutor executor(*single_, {.threads = 1, .device = "cpu"}, *logger_);
    int steps = 0;
    StageHooks hooks;
    hooks.on_progress = [&](const proto::Progress&) { return ++steps == 5; };
    (void)execute(*single_, executor, trial.stages[0], where);
    (void)execute(*single_, executor, trial.stages[1], where);
    const auto result = execute(*single_, executor, train, where, hooks);
    EXPECT_EQ(result.outcome(), proto::StageResult::STOPPED);
  }
  world_->barrier();
  StageExecutor executor(*world_, {.threads = 1, .device = "cpu"}, *logger_);
  EXPECT_EQ(execute(*world_, executor, train, where).outcome(), proto::StageResult::DONE);
  if (world_->rank() == 0) {
    EXPECT_TRUE(outcome(train, where) == whole[1]);
  }
}

TEST_F(StageMpi, StoppedByOneRankContinuedByAllIsTheSameBits) {
  expect_ranks_may_change(kLora);
}
TEST_F(StageMpi, PackedMomentsOfOneRankContinuedByAllAreTheSameBits) {
  expect_ranks_may_change(with_state(kFull, "int8"));
  expect_ranks_may_change(with_state(kLora, "bf16"));
}

// Bytes that the process holds from the allocator.
std::size_t held_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST_F(StageMpi, FirstAndFiftiethOfAGangAreTheSameBitsAndMemoryDoesNotGrow) {
  const std::vector<std::string> kinds = {
      "{method: full, epochs: 1, learning_rate: 1e-3, batch: {examples: 40}}",
      "{method: {lora: {rank: 8}}, epochs: 1, learning_rate: 1e-3, batch: {tokens: 700}}",
      "{method: {lora: {rank: 2, target_modules: [q_proj]}}, data_budget: 30, epochs: 2,"
      " learning_rate: 1e-3, batch: {tokens: 200}, micro_batch_tokens: 64}",
      kFull};
  const TrialStages probe = stages(kLora);
  StageExecutor executor(*world_, {.threads = 1, .device = "cpu"}, *logger_);
  const std::string where = directory_ + "/gang";
  for (const config::StageSpec& spec : probe.stages) {
    if (!spec.has_evaluate()) {
      (void)execute(*world_, executor, spec, where);
    }
  }
  const Outcome first = world_->rank() == 0 ? outcome(probe.stages[2], where) : Outcome{};
  std::size_t held_early = 0;
  std::size_t held_late = 0;
  for (int round = 0; round < 12; ++round) {
    for (const std::string& kind : kinds) {  // 48 stages between
      const TrialStages trial = stages(kind);
      const std::string artifact = where + "/" + trial.stages[2].key();
      (void)execute(*world_, executor, trial.stages[2], where);
      (void)execute(*world_, executor, trial.stages[3], where);
      if (world_->rank() == 0) {  // so that the next round works again
        std::filesystem::remove_all(artifact);
        std::filesystem::remove_all(where + "/" + trial.stages[3].key());
      }
      world_->barrier();
    }
    (round == 1 ? held_early : held_late) = held_bytes();
  }
  const std::string again = directory_ + "/again";
  if (world_->rank() == 0) {
    make_directories(again);
    for (int i : {0, 1}) {
      std::filesystem::copy(where + "/" + probe.stages[static_cast<std::size_t>(i)].key(),
                            again + "/" + probe.stages[static_cast<std::size_t>(i)].key(),
                            std::filesystem::copy_options::recursive);
    }
  }
  world_->barrier();
  (void)execute(*world_, executor, probe.stages[2], again);
  if (world_->rank() == 0) {
    EXPECT_TRUE(outcome(probe.stages[2], again) == first);
  }
  // A model here is 400 KB. Several ranks on a loaded machine: the message pools of MPI itself grow
  // by up to 100 KB.
  const std::size_t allowed = world_->size() == 1 ? 64 * 1024 : 512 * 1024;
  EXPECT_LT(held_late, held_early + allowed) << "grew over 40 stages and 40 evaluations";
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
