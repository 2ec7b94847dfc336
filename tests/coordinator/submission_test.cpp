// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/submission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/error.h"
#include "core/files.h"
#include "tests/coordinator/fake_slurm.h"

namespace finescale {
namespace {

using testing::HasSubstr;

// Tests run beside others on few cores: a call that is not planned to hang ends well within 2 s.
constexpr SlurmPatience kQuick = {2, 0.2, 0.4, 30};

class SubmissionTest : public testing::Test {
 protected:
  SubmissionTest() {
    submission_.campaign = slurm_.place() + "/campaign";
    submission_.sweep = "words";
    submission_.write_script = [this](const std::string& name, const std::string& after) {
      after_ = after;
      const std::string path = submission_.campaign + "/slurm/job.sh";
      write_file_atomically(path, "#!/bin/bash\n#SBATCH --job-name=" + name + "\n");
      return path;
    };
    prefix_ = job_prefix(submission_.campaign, submission_.sweep);
  }
  SubmittedJob submit() { return submit_once(submission_, commands_); }

  FakeSlurm slurm_;
  Submission submission_;
  std::string prefix_;
  std::string after_;
  std::string said_;
  SlurmCommands commands_{kQuick, [this](const std::string& text) { said_ += text + "\n"; }};
};

TEST_F(SubmissionTest, SubmitsOneJobNamedByCampaignAndEpoch) {
  const SubmittedJob job = submit();
  EXPECT_TRUE(job.is_new);
  EXPECT_EQ(job.id, "101");
  EXPECT_EQ(job.name, prefix_ + "1");
  EXPECT_EQ(slurm_.queue(), "101|PENDING|" + prefix_ + "1\n");
  EXPECT_EQ(said_, "");
}

TEST_F(SubmissionTest, FindsTheLiveJobInsteadOfMakingAnother) {
  (void)submit();
  const SubmittedJob again = submit();
  EXPECT_FALSE(again.is_new);
  EXPECT_EQ(again.id, "101");
  EXPECT_EQ(slurm_.jobs(), 1);
}

TEST_F(SubmissionTest, ANewEpochFollowsAnEndedJob) {
  (void)submit();
  slurm_.set_queue("101|COMPLETED|" + prefix_ + "1\n");
  EXPECT_EQ(submit().name, prefix_ + "2");
  slurm_.set_queue("");  // Slurm has forgotten them: the record has not
  EXPECT_EQ(submit().name, prefix_ + "3");
  slurm_.set_queue("7|FAILED|" + prefix_ + "9\n");  // the record was lost or is older
  EXPECT_EQ(submit().name, prefix_ + "10");
}

TEST_F(SubmissionTest, JobsOfOthersAreNotOurs) {
  slurm_.set_queue("1|RUNNING|" + prefix_ + "1x\n2|RUNNING|" + prefix_ + "\n3|RUNNING|x" + prefix_ +
                   "1\n4|RUNNING|" + job_prefix("/elsewhere", "words") + "1\n");
  EXPECT_TRUE(submit().is_new);
  EXPECT_EQ(slurm_.jobs(), 5);
}

// Whatever sbatch says, there is one job in the end, and its id is found.
TEST_F(SubmissionTest, NoAnswerOfSbatchLosesOrDoublesTheJob) {
  for (const char* word : {"away", "garbage", "silent", "hang", "made_garbage", "made_timeout",
                           "made_hang", "made_late"}) {
    slurm_.set_queue("");
    slurm_.plan("sbatch", {word});
    const SubmittedJob job = submit();
    EXPECT_EQ(slurm_.jobs(), 1) << word;
    EXPECT_THAT(slurm_.queue(), HasSubstr(job.id + "|PENDING|" + job.name + "\n")) << word;
  }
}

TEST_F(SubmissionTest, WaitsForAControllerThatIsAway) {
  slurm_.plan("squeue", {"away", "garbage", "hang", "silent"});
  slurm_.plan("sbatch", {"away", "away", "made_timeout"});
  const SubmittedJob job = submit();
  EXPECT_EQ(slurm_.jobs(), 1);
  EXPECT_EQ(job.id, "101");
  EXPECT_THAT(said_, HasSubstr("squeue: squeue: error: Unable to contact slurm controller"));
  EXPECT_THAT(said_, HasSubstr("no answer within 2 s"));
  EXPECT_THAT(said_, HasSubstr("an answer that makes no sense: <html>busy</html>"));
}

TEST_F(SubmissionTest, GivesUpWithWhatToDo) {
  slurm_.plan("squeue", std::vector<std::string>(100, "away"));
  const SlurmCommands hasty({2, 0.05, 0.1, 0.5}, [](const std::string&) {});
  try {
    (void)submit_once(submission_, hasty);
    FAIL() << "submitted without looking";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(describe(error), HasSubstr("no job is submitted twice"));
  }
  EXPECT_EQ(slurm_.calls("sbatch"), 0);
}

TEST_F(SubmissionTest, ARefusalIsTheUsersToMend) {
  slurm_.plan("sbatch", {"refuse"});
  try {
    (void)submit();
    FAIL() << "a refused job";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    EXPECT_THAT(describe(error), HasSubstr("Invalid partition name specified"));
  }
  EXPECT_EQ(slurm_.calls("sbatch"), 1);
}

TEST_F(SubmissionTest, WithoutSlurmSaysSo) {
  slurm_.remove("squeue");
  try {
    (void)submit();
    FAIL() << "no squeue";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(describe(error), HasSubstr("squeue is not on PATH"));
  }
}

TEST_F(SubmissionTest, TwoAtOnceAreRefused) {
  make_directories(submission_.campaign + "/slurm");
  const int lock = ::open((submission_.campaign + "/slurm/lock").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_THROW((void)submit(), Error);
  ::close(lock);
  EXPECT_TRUE(submit().is_new);
}

TEST_F(SubmissionTest, InsideTheJobItRequeuesItself) {
  (void)submit();
  slurm_.plan("scontrol", {"away", "hang"});
  const SubmittedJob next = go_on_later(submission_, commands_, "101", true);
  EXPECT_EQ(next.id, "101");
  EXPECT_EQ(slurm_.jobs(), 1);
  EXPECT_EQ(slurm_.calls("scontrol"), 3);
}

TEST_F(SubmissionTest, WhereSlurmDoesNotRequeueAJobFollows) {
  (void)submit();
  slurm_.plan("scontrol", {"refuse"});
  const SubmittedJob next = go_on_later(submission_, commands_, "101", true);
  EXPECT_EQ(next.id, "102");
  EXPECT_EQ(next.name, prefix_ + "2");
  EXPECT_EQ(after_, "101");
  // Asked again, by whatever repeats the script's end: the follower is there.
  EXPECT_EQ(go_on_later(submission_, commands_, "101", false).id, "102");
  EXPECT_EQ(slurm_.jobs(), 2);
}

}  // namespace
}  // namespace finescale
