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
