// SPDX-License-Identifier: Apache-2.0
// What may be deleted of a campaign, and what of it something still needs.
#include "coordinator/prune.h"

#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "configs/schema/stage.pb.h"
#include "core/files.h"

namespace finescale {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class PruneTest : public testing::Test {
 protected:
  void SetUp() override {
    campaign_.directory = testing::TempDir() + "finescale_prune_" + std::to_string(::getpid());
    std::filesystem::remove_all(campaign_.directory);
    make_directories(campaign_.directory + "/attempts");
    for (const char* key : {"base", "trunk", "run", "tuned"}) {
      add(key, key == std::string("trunk") ? "trunk" : "train",
          key == std::string("base")  ? std::vector<std::string>()
          : key == std::string("run") ? std::vector<std::string>{"base", "trunk"}
                                      : std::vector<std::string>{"base"});
    }
    PlannedTrial trial;
    trial.id = "t0001";
    trial.stages = {"base", "run"};
    PlannedTrial tuning;
    tuning.id = "tune-0001";
    tuning.is_tuning = true;
    tuning.stages = {"base", "tuned"};
    campaign_.trials = {trial, tuning};
    campaign_.rows.resize(2);
    campaign_.rows[0].state = campaign_.rows[1].state = "done";
  }
  void TearDown() override { std::filesystem::remove_all(campaign_.directory); }

  // A done train stage with its checkpoint.
  void add(const std::string& key, const std::string& label,
           const std::vector<std::string>& inputs) {
    config::StageSpec spec;
    spec.set_key(key);
    spec.mutable_train();
    spec.mutable_inputs()->Assign(inputs.begin(), inputs.end());
    campaign_.specs[key] = canonical_text(spec);
    StoredStage& stage = campaign_.stages[key];
    stage.key = key;
    stage.label = label;
    stage.state = StageState::kDone;
    stage.result = "a result";
    make_directories(campaign_.directory + "/artifacts/" + key);
    write_file(campaign_.directory + "/artifacts/" + key + "/checkpoint.h5", "weights");
  }
  [[nodiscard]] std::vector<std::string> keys() const {
    std::vector<std::string> keys;
    for (const Prunable& file : what_may_be_pruned(campaign_)) {
      keys.push_back(file.key);
    }
    return keys;
  }

  Campaign campaign_;
};

TEST_F(PruneTest, TrunksAndTuningModelsGoWhenAllIsThrough) {
  EXPECT_THAT(keys(), UnorderedElementsAre("trunk", "tuned"));
}

TEST_F(PruneTest, NoCheckpointGoesWhileATrialIsOpen) {
  campaign_.rows[0].state = "pending";
  EXPECT_THAT(keys(), IsEmpty());
}

TEST_F(PruneTest, WhatAStageThatMayRunAgainReadsStays) {
  campaign_.stages["run"].state = StageState::kFailed;
  campaign_.stages["run"].result.clear();
  campaign_.rows[0].state = "failed";
  EXPECT_THAT(keys(), UnorderedElementsAre("tuned"));
  campaign_.stages["run"].result = "it diverged";  // and would again
  EXPECT_THAT(keys(), UnorderedElementsAre("trunk", "tuned"));
}

TEST_F(PruneTest, AttemptsOfWhatMayGoOnStay) {
  make_directories(campaign_.directory + "/attempts/run-1");
  make_directories(campaign_.directory + "/attempts/tuned-2");
  campaign_.stages["run"].state = StageState::kStopped;
  campaign_.stages["run"].result.clear();
  std::vector<std::string> names;
  for (const Prunable& file : what_may_be_pruned(campaign_)) {
    if (file.key.empty()) {
      names.push_back(std::filesystem::path(file.path).filename().string());
    }
  }
  EXPECT_THAT(names, UnorderedElementsAre("tuned-2"));
}

TEST_F(PruneTest, DamagedAndForeignArtifactsAreLeftovers) {
  make_directories(campaign_.directory + "/artifacts/.damaged-run");
  make_directories(campaign_.directory + "/artifacts/run.broken-1");
  make_directories(campaign_.directory + "/artifacts/nobody");
  EXPECT_THAT(keys(), UnorderedElementsAre("", "", "", "trunk", "tuned"));
}

TEST_F(PruneTest, TheStoreKnowsWhatIsGone) {
  const std::vector<Prunable> files = what_may_be_pruned(campaign_);
  prune(campaign_.directory, files);
  EXPECT_FALSE(std::filesystem::exists(files[0].path));
  Store store(campaign_.directory);
  EXPECT_THAT(pruned_stages(store), UnorderedElementsAre("trunk", "tuned"));
}

}  // namespace
}  // namespace finescale
