// SPDX-License-Identifier: Apache-2.0
// Jobs of four processes that hang or die: who is named, with which exit code and how soon they
// end.
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace finescale {
namespace {

struct Ending {
  int exit_code = -1;
  double seconds = 0;
  std::string output;
};

Ending run_once(const std::string& way, int victim) {
  const std::string command =
      std::string("env " FINESCALE_MPI_ENVIRONMENT " timeout -s KILL 50 " FINESCALE_MPIEXEC
                  " -n 4 " FINESCALE_HANG_VICTIM) +
      " " + way + " " + std::to_string(victim) + " 2>&1";
  const auto begin = std::chrono::steady_clock::now();
  Ending ending;
  std::FILE* const pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::array<char, 512> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) {
    ending.output += part.data();
  }
  const int status = pclose(pipe);
  ending.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ending.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return ending;
}

// Open MPI 4.1's mpirun sometimes crashes itself when its ranks are gone (PMIx_server_finalize) and
// with it the job's exit code: such a job says nothing of ours and is run again.
Ending run_job(const std::string& way, int victim) {
  Ending ending = run_once(way, victim);
  for (int again = 0; again < 3 && ending.exit_code == 139 &&
                      ending.output.find("PMIx_server_finalize") != std::string::npos;
       ++again) {
    ending = run_once(way, victim);
  }
  return ending;
}

// The timeout of the victim is 1 s and the patience for answers 1 s.
void expect_hang(const Ending& ending, double limit_s, const std::vector<std::string>& parts) {
  EXPECT_EQ(ending.exit_code, 4) << ending.output;
  EXPECT_LT(ending.seconds, limit_s) << ending.output;
  for (const std::string& part : parts) {
    EXPECT_NE(ending.output.find(part), std::string::npos) << part << "\nnot in: " << ending.output;
  }
  const auto first = ending.output.find("hang: ");
  EXPECT_EQ(ending.output.find("hang: ", first + 1), std::string::npos) << ending.output;
}

TEST(HangJob, ARankThatSleepsOutsideIsNamed) {
  expect_hang(run_job("sleeps", 2), 10,
              {"hang: rank 2 (", ") has not entered barrier #2 of group data, which 3 ranks have",
               "at hang_victim.cpp:", "; rank 2 is in no call since barrier #1 of group data"});
}

TEST(HangJob, AStoppedRankIsNamed) {
  expect_hang(run_job("stopped", 2), 10,
              {"hang: rank 2 (", ") has not entered barrier #2 of group data, which 3 ranks have",
               "; rank 2 does not answer"});
}

TEST(HangJob, AStoppedRank0IsNamedByRank1) {
  expect_hang(run_job("stopped", 0), 15,
              {"hang: rank 0 (", "which 3 ranks have", "; rank 0 does not answer"});
}

TEST(HangJob, ARankInAnotherCallIsNamedWithIt) {
  expect_hang(run_job("other", 3), 10,
              {"hang: rank 3 (", ") has not entered barrier #2 of group data, which 3 ranks have",
               "; rank 3 is in receive #1 of group data from rank 0 (tag 9) at hang_victim.cpp:"});
}

TEST(HangJob, ACollectiveThatDoesNotMatchIsNamed) {
  expect_hang(run_job("mismatch", 1), 10,
              {"hang: rank 1 (", ") has entered broadcast at hang_victim.cpp:",
               "instead of barrier #2 of group data, which 3 ranks have waited in"});
}

// mpirun sees this one: its own message names the rank, and 137 is 128 + SIGKILL.
TEST(HangJob, AKilledRankEndsTheJob) {
  const Ending ending = run_job("killed", 2);
  EXPECT_EQ(ending.exit_code, 137) << ending.output;
  EXPECT_LT(ending.seconds, 10);
  EXPECT_NE(ending.output.find("process rank 2 with PID"), std::string::npos) << ending.output;
}

}  // namespace
}  // namespace finescale
