// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "coordinator/launchers/gang_process.h"
#include "core/error.h"

namespace finescale {
namespace {

using testing::ElementsAre;

std::optional<SlurmAllocation> allocation_of(const std::map<std::string, std::string>& variables) {
  return slurm_allocation([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(SlurmAllocation, IsReadFromTheEnvironment) {
  const auto allocation = allocation_of(
      {{"SLURM_JOB_ID", "12"}, {"SLURM_JOB_NUM_NODES", "3"}, {"SLURM_CPUS_ON_NODE", "8"}});
  ASSERT_TRUE(allocation);
  EXPECT_EQ(allocation->job, "12");
  EXPECT_EQ(allocation->nodes, 3);
  EXPECT_EQ(allocation->cores_per_node, 8);
}

TEST(SlurmAllocation, NonsenseIsNoAllocation) {
  EXPECT_FALSE(allocation_of({}));
  EXPECT_FALSE(allocation_of({{"SLURM_JOB_ID", ""}}));
  EXPECT_FALSE(allocation_of({{"SLURM_JOB_ID", "no"}}));
  EXPECT_FALSE(allocation_of({{"SLURM_JOB_ID", "-4"}}));
  const auto odd = allocation_of({{"SLURM_JOB_ID", "12"}, {"SLURM_JOB_NUM_NODES", "many"}});
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->nodes, 1);
  EXPECT_EQ(odd->cores_per_node, 1);
  EXPECT_EQ(allocation_of({{"SLURM_JOB_ID", "1"}, {"SLURM_JOB_CPUS_PER_NODE", "4(x2),2"}})
                ->cores_per_node,
            4);
}

TEST(SlurmAllocation, AGangTakesAsFewNodesAsHoldIt) {
  const SlurmAllocation allocation{"12", 4, 8};
  const auto nodes = [&](int ranks, int threads) {
    GangLaunch launch;
    launch.ranks = ranks;
    launch.threads = threads;
    return nodes_for_gang(allocation, launch);
  };
  EXPECT_EQ(nodes(1, 1), 1);
  EXPECT_EQ(nodes(8, 1), 1);
  EXPECT_EQ(nodes(9, 1), 2);
  EXPECT_EQ(nodes(4, 4), 2);
  EXPECT_EQ(nodes(2, 16), 2);   // a rank wants more than a node has
  EXPECT_EQ(nodes(100, 1), 4);  // more than there is
}

TEST(SlurmAllocation, SrunGetsOneStepForTheGang) {
  GangLaunch launch;
  launch.gang = 3;
  launch.ranks = 4;
  launch.threads = 2;
  config::Srun config;
  config.add_extra("--cpu-bind=none; rm -rf /");  // one argument, whatever it says
  EXPECT_THAT(srun_arguments({"12", 2, 4}, config, launch),
              ElementsAre("--jobid=12", "--job-name=gang-3", "--mpi=pmix", "--nodes=2",
                          "--ntasks=4", "--cpus-per-task=2", "--exact", "--kill-on-bad-exit=1",
                          "--input=none", "--relative=0", "--cpu-bind=none; rm -rf /"));
}

TEST(SlurmAllocation, GangsThatCouldNotReachTheCoordinatorAreRefused) {
  GangLaunch launch;
  launch.gangs = 2;
  EXPECT_THROW((void)srun_arguments({"12", 2, 4}, config::Srun(), launch), Error);
  EXPECT_NO_THROW((void)srun_arguments({"12", 1, 4}, config::Srun(), launch));
  launch.reaches_all = true;
  EXPECT_THAT(srun_arguments({"12", 2, 4}, config::Srun(), launch),
              testing::Not(testing::Contains("--relative=0")));
}

TEST(SlurmAllocation, OutsideOneTheLauncherSaysWhatToDo) {
  if (std::getenv("SLURM_JOB_ID") != nullptr) {
    GTEST_SKIP() << "this test runs inside a Slurm job";
  }
  try {
    (void)make_srun(config::Srun());
    FAIL() << "srun without an allocation";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(error.hint(), testing::HasSubstr("finescale submit"));
  }
}

TEST(GangProcesses, OnlyTheGangItselfIsAdopted) {
  // Stands for an mpirun: a process with the words of a gang in its arguments.
  const std::string log = testing::TempDir() + "adopted.log";
  GangLaunch launch;
  launch.gang = 4;
  launch.campaign = "/campaign";
  launch.log_file = log;
  GangProcesses starter;
  const std::int64_t pid = starter.start(
      launch,
      {find_program("sh"), "-c", "sleep 60; true", "sh", "--campaign", "/campaign", "--gang", "4"},
      gang_environment(launch));
  GangProcesses later;
  for (int i = 0; i < 200 && !later.adopt(launch, pid); ++i) {
    ::usleep(10000);  // until the new process has its arguments
  }
  EXPECT_TRUE(later.adopt(launch, pid));
  GangLaunch other = launch;
  other.gang = 44;
  EXPECT_FALSE(later.adopt(other, pid));
  other = launch;
  other.campaign = "/campaign2";
  EXPECT_FALSE(later.adopt(other, pid));
  EXPECT_FALSE(later.adopt(launch, ::getpid()));
  EXPECT_FALSE(later.adopt(launch, 0));
  starter.signal(launch.gang, SIGKILL);
  std::vector<GangExit> ended;
  for (int i = 0; i < 200 && ended.empty(); ++i) {
    ended = starter.ended();
    ::usleep(10000);
  }
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].code, 128 + SIGKILL);
}

// As an mpirun that waits for itself after its ranks.
TEST(GangProcesses, WhatIsLeftOverIsKilled) {
  GangLaunch launch;
  launch.log_file = testing::TempDir() + "left_over.log";
  GangProcesses gangs;
  launch.gang = 1;
  gangs.start(launch, {find_program("sh"), "-c", "true & exec sleep 60"}, gang_environment(launch));
  launch.gang = 2;
  const std::int64_t works =
      gangs.start(launch, {find_program("sh"), "-c", "true & sleep 60 & exec sleep 60"},
                  gang_environment(launch));
  std::vector<GangExit> ended;
  for (int i = 0; i < 1000 && ended.empty(); ++i) {
    gangs.kill_left_over(1);
    ended = gangs.ended();
    ::usleep(10000);
  }
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].gang, 1);
  EXPECT_EQ(ended[0].code, 128 + SIGKILL);
  EXPECT_EQ(::kill(static_cast<pid_t>(works), 0), 0);
  gangs.signal(2, SIGKILL);
}

}  // namespace
}  // namespace finescale
