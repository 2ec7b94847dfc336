// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/pilot_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/process.h"

namespace finescale {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

PilotJob some_pilot() {
  PilotJob job;
  job.name = "finescale-words-0123abcd-pilot-2-7";
  job.working_directory = "/home/me/it's mine";
  job.launch.gang = 7;
  job.launch.ranks = 3;
  job.launch.threads = 2;
  job.launch.campaign = "/home/me/100% $(mine)";
  job.launch.log_file = job.launch.campaign + "/logs/gang-7.log";
  return job;
}

config::Resources some_resources() {
  config::Resources resources;
  resources.set_gangs(8);
  resources.set_ranks_per_gang(3);
  resources.set_threads_per_rank(2);
  resources.mutable_launcher()->mutable_pool()->mutable_srun();
  resources.mutable_slurm()->set_time("01:00:00");
  resources.mutable_slurm()->add_extra("--comment=a; rm -rf $HOME");
  return resources;
}

TEST(PilotScript, AsksForOneGang) {
  const std::string script = pilot_script(some_pilot(), some_resources());
  for (const char* line :
       {"#SBATCH --job-name=finescale-words-0123abcd-pilot-2-7\n", "#SBATCH --ntasks=3\n",
        "#SBATCH --cpus-per-task=2\n", "#SBATCH --time=01:00:00\n", "#SBATCH --no-requeue\n",
        "#SBATCH --signal=B:USR1@120\n", "#SBATCH --comment='a; rm -rf $HOME'\n",
        "#SBATCH --output='/home/me/100%% $(mine)/logs/gang-7.log'\n",
        "cd -- '/home/me/it'\\''s mine' || exit 3\n", "export OMP_NUM_THREADS=2\n"}) {
    EXPECT_THAT(script, HasSubstr(line));
  }
  EXPECT_THAT(script, Not(HasSubstr("--requeue")));
}

TEST(PilotScript, RanksAreStartedBySrunOrMpirun) {
  config::Resources resources = some_resources();
  std::vector<std::string> arguments = pilot_arguments(some_pilot(), resources);
  arguments.resize(6);
  EXPECT_THAT(arguments, ElementsAre("srun", "--mpi=pmix", "--ntasks=3", "--cpus-per-task=2",
                                     "--kill-on-bad-exit=1", "--input=none"));
  config::Mpirun& mpirun = *resources.mutable_launcher()->mutable_pool()->mutable_mpirun();
  mpirun.add_extra("--bind-to none; true");
  arguments = pilot_arguments(some_pilot(), resources);
  arguments.resize(4);
  EXPECT_THAT(arguments, ElementsAre("mpirun", "-n", "3", "--bind-to none; true"));
}

TEST(PilotScript, IsAShellScript) {
  const ProcessOutput output =
      run_process({"bash", "-n"}, pilot_script(some_pilot(), some_resources()));
  EXPECT_EQ(output.code, 0) << output.out;
}

// What the gang is told arrives word by word, and what it ends with is what the job ends with.
TEST(PilotScript, PassesWordsAndCodesOn) {
  PilotJob job = some_pilot();
  job.working_directory = "/";
  const auto run = [&](const std::string& commands) {
    std::string script = pilot_script(job, some_resources());
    const std::size_t begin = script.find("gang=(");
    script.replace(begin, script.find('\n', begin) - begin,
                   "gang=(sh -c '" + commands + "' sh '$(mine) \"x\"')");
    return run_process({"bash", "-s"}, script);
  };
  EXPECT_EQ(run("printf %s \"$1\"").out, "$(mine) \"x\"");
  EXPECT_EQ(run("exit 7").code, 7);
  EXPECT_EQ(run("exit 143").code, 143);  // it found no coordinator
  // Warned of the limit it leaves, as it was told.
  EXPECT_EQ(run("trap \"exit 143\" USR1; kill -USR1 $PPID; sleep 1 & wait").code, 0);
}

}  // namespace
}  // namespace finescale
