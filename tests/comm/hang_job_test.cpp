// SPDX-License-Identifier: Apache-2.0
// Jobs of four processes that hang or die: who is named, with which exit code and how soon they
// end.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/process_state.h"

namespace finescale {
namespace {

const std::vector<std::string> kEnvironment = {
    "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
    "OMPI_MCA_rmaps_base_oversubscribe=1", "OMPI_MCA_mpi_yield_when_idle=1",
    "OMPI_MCA_hwloc_base_binding_policy=none"};

struct Ending {
  int exit_code = -1;
  double seconds = 0;  // until no rank was left
  std::string output;
  bool is_mpiruns = false;  // mpirun failed at its own end
};

// Standard output and errors of the job, into a file; -1 when it cannot be started.
pid_t start(std::vector<std::string> arguments, const std::string& output) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, output.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) {
    pointers.push_back(argument.data());
  }
  pointers.push_back(nullptr);
  pid_t pid = -1;
  const int code = posix_spawn(&pid, pointers[0], &files, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  return code == 0 ? pid : -1;
}

std::string text_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// Open MPI 4.1's mpirun sometimes crashes, or waits for itself for ever, in PMIx_server_finalize
// when its ranks are gone. Then the job's exit code is lost and nothing is said about ours.
Ending run_once(const std::string& way, int victim) {
  const std::string output = testing::TempDir() + "hang_job." + std::to_string(getpid());
  Ending ending;
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::vector<std::string> arguments = {"/usr/bin/env"};  // becomes mpirun
  arguments.insert(arguments.end(), kEnvironment.begin(), kEnvironment.end());
  arguments.insert(arguments.end(), {FINESCALE_MPIEXEC, "-n", "4", FINESCALE_HANG_VICTIM, way,
                                     std::to_string(victim)});
  const pid_t pid = start(arguments, output);
  if (pid < 0) {
    ADD_FAILURE() << FINESCALE_MPIEXEC << " cannot be started";
    return ending;
  }
  int status = 0;
  double ranks_gone_s = -1;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!all_children_ended(pid)) {
      ranks_gone_s = -1;
    } else if (ranks_gone_s < 0) {
      ranks_gone_s = seconds();
    }
    ending.is_mpiruns = ranks_gone_s >= 0 && seconds() > ranks_gone_s + 5;
    if (ending.is_mpiruns || seconds() > 50) {
      kill(pid, SIGKILL);
    }
  }
  ending.seconds = ranks_gone_s >= 0 ? ranks_gone_s : seconds();
  ending.output = text_of(output);
  std::filesystem::remove(output);
  ending.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ending.is_mpiruns =
      ending.is_mpiruns ||
      (ending.exit_code == 139 && ending.output.find("PMIx_server_finalize") != std::string::npos);
  return ending;
}

Ending run_job(const std::string& way, int victim) {
  Ending ending = run_once(way, victim);
  for (int again = 0; again < 3 && ending.is_mpiruns; ++again) {
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
