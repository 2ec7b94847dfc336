// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/slurm_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace finescale {
namespace {

TEST(SlurmAnswers, SqueueLinesMayHaveAnyNameAtTheirEnd) {
  const auto jobs = parse_squeue("12|PENDING|a|b c\n12_[4-9%2]|RUNNING|\n\n7+1|COMPLETING|x\r\n");
  ASSERT_TRUE(jobs);
  ASSERT_EQ(jobs->size(), 3U);
  EXPECT_EQ((*jobs)[0].id, "12");
  EXPECT_EQ((*jobs)[0].name, "a|b c");
  EXPECT_EQ((*jobs)[1].state, "RUNNING");
  EXPECT_EQ((*jobs)[1].name, "");
  EXPECT_EQ((*jobs)[2].name, "x");
  EXPECT_TRUE(parse_squeue("")->empty());
}

TEST(SlurmAnswers, OneLineOfNonsenseSpoilsTheWholeAnswer) {
  for (const char* text : {"slurm_load_jobs error: Unable to contact slurm controller",
                           "12|PENDING", "x|PENDING|name", "|PENDING|name", "12|pending|name",
                           "12||name", "12|PENDING|a\n<html>", "12;13|PENDING|a"}) {
    EXPECT_FALSE(parse_squeue(text)) << text;
  }
}

TEST(SlurmAnswers, SbatchPrintsOneNumber) {
  EXPECT_EQ(parse_sbatch("123\n"), "123");
  EXPECT_EQ(parse_sbatch("123;cluster\n"), "123");
  EXPECT_EQ(parse_sbatch("123"), "123");
  for (const char* text :
       {"", "\n", ";", "Submitted batch job 123\n", "12a\n", "-1\n", "1\n2\n",
        "1234567890123456789012345678901234567890123456789012345678901234567890"}) {
    EXPECT_FALSE(parse_sbatch(text)) << text;
  }
}

TEST(SlurmAnswers, AnUnknownStateCountsAsLive) {
  EXPECT_TRUE(is_over({"1", "COMPLETED", "a"}));
  EXPECT_TRUE(is_over({"1", "NODE_FAIL", "a"}));
  for (const char* state :
       {"PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "NEW_IN_2030"}) {
    EXPECT_FALSE(is_over({"1", state, "a"})) << state;
  }
  EXPECT_TRUE(is_undecided({"1", "COMPLETING", "a"}));
}

TEST(SlurmAnswers, TroubleOnTheWayIsNoRefusal) {
  // As Slurm 22.05 says them.
  for (const char* text :
       {"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
        "sbatch: error: Munge encode failed: Failed to access munge.socket.2"}) {
    EXPECT_TRUE(is_passing_trouble(text)) << text;
  }
  for (const char* text :
       {"sbatch: error: Batch job submission failed: Invalid partition name specified",
        "Requested operation is presently disabled for job 3",
        "sbatch: error: Invalid --time specification"}) {
    EXPECT_FALSE(is_passing_trouble(text)) << text;
  }
}

}  // namespace
}  // namespace finescale
