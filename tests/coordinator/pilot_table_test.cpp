// SPDX-License-Identifier: Apache-2.0
// The jobs of a pool as a pure machine: answers of Slurm in, what to ask of it out.
#include "coordinator/launchers/pilot_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace finescale {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PilotTableTest : public testing::Test {
 protected:
  static GangLaunch launch(std::int64_t gang) {
    GangLaunch launch;
    launch.gang = gang;
    launch.coordinator_epoch = 4;
    return launch;
  }
  // Launched, stored, and submitted with this answer.
  void submit(std::int64_t gang, SlurmOutcome outcome = SlurmOutcome::kDone) {
    table_.add(launch(gang));
    table_.saved(gang);
    ASSERT_NE(table_.next_to_submit(now_), nullptr);
    table_.submitted(gang, {outcome, outcome == SlurmOutcome::kDone ? "17" : "what it said"}, now_);
  }
  static SlurmJob job(std::int64_t gang, const std::string& state, const std::string& epoch = "4") {
    return {"17", state, "finescale-words-00-pilot-" + epoch + "-" + std::to_string(gang)};
  }

  PilotTable table_{"finescale-words-00-pilot-", {60, 30, 10, 40}};
  double now_ = 100;
};

TEST_F(PilotTableTest, NothingIsSubmittedBeforeTheStoreKnowsIt) {
  table_.add(launch(1));
  EXPECT_FALSE(table_.can_submit(now_));
  table_.saved(1);
  ASSERT_NE(table_.next_to_submit(now_), nullptr);
  EXPECT_EQ(table_.name_of(1), "finescale-words-00-pilot-4-1");
  EXPECT_EQ(table_.next_to_submit(now_), nullptr);  // once
}

TEST_F(PilotTableTest, WaitsForEverWithoutHarm) {
  submit(1);
  for (int i = 0; i < 1000; ++i) {
    table_.looked({job(1, "PENDING")}, now_ += 3600);
  }
  EXPECT_THAT(table_.take_begun(), IsEmpty());
  EXPECT_THAT(table_.take_ended(), IsEmpty());
  table_.cancel(1);
  EXPECT_THAT(table_.to_cancel(), ElementsAre("finescale-words-00-pilot-4-1"));
  table_.looked({job(1, "CANCELLED")}, now_);
  EXPECT_EQ(table_.take_ended().size(), 1U);
  EXPECT_THAT(table_.to_cancel(), IsEmpty());
}

TEST_F(PilotTableTest, TellsOnceWhenAPilotHasItsPlace) {
  submit(1);
  table_.looked({job(1, "RUNNING")}, now_);
  table_.looked({job(1, "COMPLETING")}, now_);
  EXPECT_THAT(table_.take_begun(), ElementsAre(1));
}

TEST_F(PilotTableTest, WhatIsTakenAwayIsNotToBlame) {
  for (const char* state : {"CANCELLED", "PREEMPTED", "TIMEOUT", "NODE_FAIL", "COMPLETED"}) {
    now_ += 100;
    submit(1);
    table_.looked({job(1, "RUNNING")}, now_);
    table_.looked({job(1, state)}, now_);
    const std::vector<GangExit> ended = table_.take_ended();
    ASSERT_EQ(ended.size(), 1U) << state;
    EXPECT_TRUE(ended[0].is_blameless) << state;
  }
  for (const char* state : {"FAILED", "OUT_OF_MEMORY"}) {
    now_ += 100;
    submit(1);
    table_.looked({job(1, state)}, now_);
    const std::vector<GangExit> ended = table_.take_ended();
    ASSERT_EQ(ended.size(), 1U) << state;
    EXPECT_FALSE(ended[0].is_blameless) << state;
    EXPECT_THAT(ended[0].reason, HasSubstr(state));
  }
}

TEST_F(PilotTableTest, AnUnclearAnswerIsLookedIntoBeforeItCounts) {
  submit(1, SlurmOutcome::kUnknown);
  table_.looked({}, now_ += 30);
  EXPECT_THAT(table_.take_ended(), IsEmpty());
  table_.looked({job(1, "RUNNING")}, now_ += 20);  // it was made after all
  EXPECT_THAT(table_.take_begun(), ElementsAre(1));

  submit(2, SlurmOutcome::kUnknown);
  table_.looked({job(1, "RUNNING")}, now_ += 61);
  ASSERT_EQ(table_.take_ended().size(), 1U);
  // And if it comes even later, nobody waits for it: it is ended.
  table_.looked({job(1, "RUNNING"), job(2, "PENDING")}, now_ += 1);
  EXPECT_THAT(table_.to_cancel(), ElementsAre("finescale-words-00-pilot-4-2"));
}

TEST_F(PilotTableTest, JobsOfANewerCoordinatorAndOfOthersAreLeftAlone) {
  submit(1);
  table_.looked({job(1, "RUNNING"),
                 job(9, "RUNNING", "5"),
                 job(9, "RUNNING", "3"),
                 {"18", "RUNNING", "finescale-words-00-pilot-"},
                 {"19", "RUNNING", "finescale-words-00-1"},
                 {"20", "RUNNING", "else"}},
                now_);
  EXPECT_THAT(table_.to_cancel(), ElementsAre("finescale-words-00-pilot-3-9"));
}

TEST_F(PilotTableTest, AControllerThatForgotARunningJobLosesNothing) {
  submit(1);
  table_.looked({job(1, "RUNNING")}, now_);
  table_.looked({}, now_ += 1000);  // its heartbeats say whether it lives
  EXPECT_THAT(table_.take_ended(), IsEmpty());
  table_.cancel(1);
  table_.looked({}, now_ += 10);
  EXPECT_EQ(table_.take_ended().size(), 1U);
}

TEST_F(PilotTableTest, AReusedIdOfAnotherJobSaysNothing) {
  submit(1);
  table_.looked({{"17", "RUNNING", "another's"}}, now_);
  EXPECT_THAT(table_.take_begun(), IsEmpty());
  EXPECT_EQ(table_.take_ended().size(), 1U);  // ours was queued, and is gone
}

TEST_F(PilotTableTest, JobsThatEndAtOnceAreMadeMoreAndMoreSeldom) {
  for (const double wait : {10.0, 20.0, 40.0, 40.0}) {
    submit(1);
    table_.looked({job(1, "FAILED")}, now_);
    (void)table_.take_ended();
    table_.add(launch(2));
    table_.saved(2);
    EXPECT_FALSE(table_.can_submit(now_ + 0.99 * wait));
    EXPECT_TRUE(table_.can_submit(now_ + wait));
    table_.cancel(2);
    EXPECT_EQ(table_.take_ended().size(), 1U);  // Slurm never heard of it
    now_ += wait;
  }
  submit(3);
  table_.looked({job(3, "RUNNING")}, now_);
  table_.looked({job(3, "COMPLETED")}, now_ += 31);
  EXPECT_TRUE((table_.add(launch(4)), table_.saved(4), table_.can_submit(now_)));
}

TEST_F(PilotTableTest, ARefusalIsTheUsersToMendUnlessOthersRun) {
  submit(1);
  submit(2, SlurmOutcome::kRefused);  // a limit of the site, perhaps
  EXPECT_EQ(table_.refusal(), "");
  EXPECT_EQ(table_.take_ended().size(), 1U);
  table_.looked({job(1, "COMPLETED")}, now_ += 1000);
  submit(3, SlurmOutcome::kRefused);
  EXPECT_EQ(table_.refusal(), "what it said");
}

TEST_F(PilotTableTest, PilotsOfTheCoordinatorBeforeAreFoundByName) {
  table_.adopt(launch(1), 3, now_);
  table_.adopt(launch(2), 3, now_);
  table_.looked({job(1, "RUNNING", "3")}, now_ += 10);
  EXPECT_THAT(table_.take_begun(), ElementsAre(1));
  EXPECT_THAT(table_.to_cancel(), IsEmpty());
  table_.looked({job(1, "RUNNING", "3")}, now_ += 61);  // the other was never made
  ASSERT_EQ(table_.take_ended().size(), 1U);
}

}  // namespace
}  // namespace finescale
