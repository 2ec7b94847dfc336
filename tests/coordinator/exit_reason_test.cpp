// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "coordinator/launchers/launcher.h"

namespace finescale {
namespace {

TEST(ExitReason, NamesTheRankThatMpirunLost) {
  EXPECT_EQ(
      exit_reason("step 8 of 20\n"
                  "-----\n"
                  "mpirun noticed that process rank 3 with PID 411 on node a exited on signal 9 "
                  "(Killed).\n"
                  "-----\n"),
      "rank 3 on node a exited on signal 9 (Killed)");
}

TEST(ExitReason, NamesTheFirstTaskThatSrunLost) {
  EXPECT_EQ(exit_reason("srun: Job step aborted: Waiting up to 7 seconds\n"
                        "srun: error: n2: task 1: Exited with exit code 3\n"
                        "srun: error: n1: tasks 0,2-3: Killed\n"),
            "rank 1 on node n2: Exited with exit code 3");
  EXPECT_EQ(exit_reason("srun: error: n1: tasks 0-1: Killed\n"), "rank 0-1 on node n1: Killed");
  EXPECT_EQ(exit_reason("srun: error: Unable to create step\nsrun: error: n1: task\n"), "");
}

TEST(ExitReason, ARanksOwnWordsSayMore) {
  EXPECT_EQ(exit_reason("rank 2: comm: all_gather of pipeline waits for rank 1\n"
                        "mpirun noticed that process rank 1 with PID 4 on node a exited on signal 6"
                        " (Aborted).\n"),
            "rank 2: comm: all_gather of pipeline waits for rank 1");
}

TEST(ExitReason, IsEmptyWhenTheLogDoesNotSay) {
  EXPECT_EQ(exit_reason(""), "");
  EXPECT_EQ(exit_reason("ranked 3: no\nrank: no\nrank x: no\nrank 12\n"), "");
}

}  // namespace
}  // namespace finescale
