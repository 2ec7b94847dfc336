// SPDX-License-Identifier: Apache-2.0
#include "coordinator/artifacts.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ArtifactsTest : public testing::Test {
 protected:
  std::string campaign_ = testing::TempDir() + "finescale_artifacts_" + std::to_string(::getpid());
  void SetUp() override {
    std::filesystem::remove_all(campaign_);
    make_directories(campaign_ + "/artifacts");
  }
  void TearDown() override { std::filesystem::remove_all(campaign_); }

  // A whole attempt, as a gang leaves it, and its commit.
  proto::CommitRequest attempt(std::int64_t epoch, const std::string& manifest_key = "key",
                               proto::StageResult::Outcome outcome = proto::StageResult::DONE) {
    const std::string place = attempt_directory(campaign_, "key", epoch);
    make_directories(place);
    proto::StageResult result;
    result.set_outcome(outcome);
    result.set_why("it blew up");
    result.set_tokens(epoch);
    write_file_atomically(place + "/result.pb", result.SerializeAsString());
    write_file_atomically(place + "/weights", "weights");
    Manifest manifest;
    manifest.key = manifest_key;
    manifest.epoch = epoch;
    proto::CommitRequest commit;
    commit.set_key("key");
    commit.set_epoch(epoch);
    commit.set_attempt_dir(place);
    commit.set_manifest_hash(write_manifest(place, manifest, {"result.pb", "weights"}));
    return commit;
  }
  std::string publish(const proto::CommitRequest& commit) {
    result_.Clear();
    return publish_attempt(campaign_, commit, result_);
  }
  [[nodiscard]] bool is_published() const {
    return std::filesystem::exists(artifact_directory(campaign_, "key"));
  }
  static void damage(const std::string& file) { std::ofstream(file, std::ios::app) << "more"; }
  [[nodiscard]] StoredStage stage() const {
    StoredStage one;
    one.key = "key";
    one.state = StageState::kRunning;
    one.gang = 3;
    return one;
  }

  proto::StageResult result_;
};

TEST_F(ArtifactsTest, AGoodAttemptBecomesTheArtifact) {
  EXPECT_EQ(publish(attempt(2)), "");
  EXPECT_EQ(result_.tokens(), 2);
  EXPECT_TRUE(is_published());
  EXPECT_FALSE(std::filesystem::exists(attempt_directory(campaign_, "key", 2)));
}

TEST_F(ArtifactsTest, AnAttemptThatIsNotWhatWasCommittedIsRefused) {
  proto::CommitRequest commit = attempt(1);
  commit.set_manifest_hash("another");
  EXPECT_THAT(publish(commit), HasSubstr("not what was committed"));
  commit = attempt(1);
  commit.set_attempt_dir(campaign_ + "/elsewhere");
  EXPECT_THAT(publish(commit), HasSubstr("not what was committed"));
  commit = attempt(1);
  damage(commit.attempt_dir() + "/weights");
  EXPECT_THAT(publish(commit), HasSubstr("weights"));
  EXPECT_THAT(publish(attempt(1, "another key")), HasSubstr("names another stage"));
  std::filesystem::remove_all(commit.attempt_dir());
  EXPECT_NE(publish(commit), "");
  EXPECT_FALSE(is_published());
}

TEST_F(ArtifactsTest, PublishedNamesCanBeFlushed) {
  const auto artifacts = make_file_artifacts(campaign_);
  proto::StageResult result;
  ASSERT_EQ(artifacts->publish(attempt(1), result), "");
  artifacts->sync();
  EXPECT_TRUE(is_published());
  std::filesystem::remove_all(campaign_ + "/attempts");
  artifacts->sync();  // nothing new
  (void)attempt(2);
  ASSERT_EQ(artifacts->publish(attempt(2), result), "");
  std::filesystem::remove_all(campaign_ + "/attempts");
  EXPECT_THROW(artifacts->sync(), Error);
  EXPECT_THROW(artifacts->sync(), Error);  // tried again until it succeeds
}

TEST_F(ArtifactsTest, AnAttemptReplacesADamagedArtifact) {
  ASSERT_EQ(publish(attempt(1)), "");
  damage(artifact_directory(campaign_, "key") + "/weights");
  EXPECT_EQ(publish(attempt(2)), "");
  EXPECT_THAT(verify_manifest(artifact_directory(campaign_, "key"), true), IsEmpty());
}

TEST_F(ArtifactsTest, APublishedArtifactIsTheProofOfItsStage) {
  StoredStage one = stage();
  EXPECT_FALSE(adopt_artifact(campaign_, one));
  ASSERT_EQ(publish(attempt(1)), "");
  EXPECT_TRUE(adopt_artifact(campaign_, one));
  EXPECT_EQ(one.state, StageState::kDone);
  EXPECT_EQ(one.gang, 0);
  EXPECT_FALSE(one.result.empty());
}

TEST_F(ArtifactsTest, AnAdoptedLossThatBlewUpIsAFailure) {
  ASSERT_EQ(publish(attempt(1, "key", proto::StageResult::DIVERGED)), "");
  StoredStage one = stage();
  EXPECT_TRUE(adopt_artifact(campaign_, one));
  EXPECT_EQ(one.state, StageState::kFailed);
  EXPECT_EQ(one.error_kind, "diverged");
  EXPECT_EQ(one.error, "it blew up");
}

TEST_F(ArtifactsTest, ADamagedOrForeignArtifactIsNotAdopted) {
  const std::string place = artifact_directory(campaign_, "key");
  ASSERT_EQ(publish(attempt(1)), "");
  damage(place + "/weights");
  StoredStage one = stage();
  EXPECT_FALSE(adopt_artifact(campaign_, one));
  EXPECT_EQ(one.state, StageState::kRunning);
  std::filesystem::remove_all(place);
  (void)attempt(1, "another key");
  std::filesystem::rename(attempt_directory(campaign_, "key", 1), place);
  EXPECT_FALSE(adopt_artifact(campaign_, one));
}

TEST_F(ArtifactsTest, OlderAttemptsComeNewestFirst) {
  (void)attempt(1);
  (void)attempt(3);
  (void)attempt(4);
  EXPECT_THAT(
      older_attempts(campaign_, "key", 4),
      ElementsAre(attempt_directory(campaign_, "key", 3), attempt_directory(campaign_, "key", 1)));
  remove_attempts(campaign_, "key", 3);
  EXPECT_THAT(older_attempts(campaign_, "key", 9),
              ElementsAre(attempt_directory(campaign_, "key", 4)));
}

}  // namespace
}  // namespace finescale
