// SPDX-License-Identifier: Apache-2.0
#include "core/process_state.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace finescale {
namespace {

bool comes_true(int pid) {
  for (int i = 0; i < 500; ++i) {
    if (all_children_ended(pid)) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

pid_t start_child(int seconds) {
  const pid_t pid = fork();
  if (pid == 0) {
    sleep(static_cast<unsigned>(seconds));
    _exit(0);
  }
  return pid;
}

void end(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

TEST(ProcessState, WhatNobodyWaitedForDoesNotRun) {
  EXPECT_TRUE(is_running(getpid()));
  EXPECT_FALSE(is_running(0));
  EXPECT_FALSE(is_running(-1));
  const pid_t ends = start_child(0);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(ends), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(is_running(ends));
  EXPECT_EQ(kill(ends, 0), 0);
  end(ends);
  EXPECT_FALSE(is_running(ends));
}

TEST(ProcessState, NoChildrenAreNotAll) {
  EXPECT_FALSE(all_children_ended(getpid()));
  EXPECT_FALSE(all_children_ended(-1));
}

TEST(ProcessState, AllChildrenMustHaveEnded) {
  const pid_t lives = start_child(60);
  const pid_t ends = start_child(0);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(ends), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(all_children_ended(getpid()));
  kill(lives, SIGKILL);
  EXPECT_TRUE(comes_true(getpid()));
  end(lives);
  EXPECT_TRUE(all_children_ended(getpid()));
  end(ends);
  EXPECT_FALSE(all_children_ended(getpid()));
}

}  // namespace
}  // namespace finescale
