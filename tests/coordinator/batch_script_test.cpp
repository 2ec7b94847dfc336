// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/batch_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/process.h"

namespace finescale {
namespace {

using testing::HasSubstr;
using testing::Not;

BatchJob some_job() {
  BatchJob job;
  job.name = "finescale-words-0123abcd-1";
  job.program = "/opt/fine scale/finescale";
  job.working_directory = "/home/me/it's mine";
  job.campaign = "/home/me/100% $(mine)";
  job.sweep_file = "/home/me/sweep.yaml";
  job.options = {"--set", "axes.seed=[1, 2]; echo \"$HOME\" `id`"};
  return job;
}

config::Resources some_resources() {
  config::Resources resources;
  resources.set_gangs(3);
  resources.set_ranks_per_gang(2);
  resources.mutable_slurm()->set_partition("gpu");
  resources.mutable_slurm()->set_time("1-02:00:00");
  return resources;
}

TEST(BatchScript, AsksForWhatTheSweepNeeds) {
  config::Resources resources = some_resources();
  resources.set_threads_per_rank(4);
  resources.set_memory_per_rank("1GiB");
  config::Slurm& slurm = *resources.mutable_slurm();
  slurm.set_nodes(2);
  slurm.set_gpus_per_node(4);
  slurm.set_account("a b");
  slurm.set_qos("high");
  slurm.set_constraint("a100&ib");
  slurm.set_exclude("n[1-3]");
  slurm.set_save_before(90);
  slurm.add_extra("--exclusive");
  slurm.add_extra("--comment=don't");
  slurm.add_prologue("module load openmpi/4.1");
  const std::string script = batch_script(some_job(), resources);
  for (const char* line :
       {"#SBATCH --job-name=finescale-words-0123abcd-1\n", "#SBATCH --nodes=2\n",
        "#SBATCH --ntasks=6\n", "#SBATCH --cpus-per-task=4\n", "#SBATCH --mem-per-cpu=262144K\n",
        "#SBATCH --gpus-per-node=4\n", "#SBATCH --account='a b'\n", "#SBATCH --qos=high\n",
        "#SBATCH --constraint='a100&ib'\n", "#SBATCH --exclude='n[1-3]'\n",
        "#SBATCH --partition=gpu\n", "#SBATCH --time=1-02:00:00\n", "#SBATCH --signal=B:USR1@90\n",
        "#SBATCH --requeue\n", "#SBATCH --exclusive\n", "#SBATCH --comment='don'\\''t'\n",
        "#SBATCH --dependency=singleton\n",
        "#SBATCH --output='/home/me/100%% $(mine)/logs/slurm-%j.log'\n",
        "\nmodule load openmpi/4.1\n"}) {
    EXPECT_THAT(script, HasSubstr(line));
  }
}

TEST(BatchScript, LeavesOutWhatIsNotGiven) {
  config::Resources resources = some_resources();
  resources.mutable_slurm()->clear_time();
  resources.mutable_slurm()->set_requeue(false);
  const std::string script = batch_script(some_job(), resources);
  for (const char* option :
       {"--time", "--account", "--qos", "--mem", "--gpus", "--constraint", "--exclude"}) {
    EXPECT_THAT(script, Not(HasSubstr(std::string("#SBATCH ") + option)));
  }
  EXPECT_THAT(script, HasSubstr("#SBATCH --no-requeue\n"));
}

TEST(BatchScript, FollowsAnotherJob) {
  BatchJob job = some_job();
  job.after = "41";
  EXPECT_THAT(batch_script(job, some_resources()),
              HasSubstr("#SBATCH --dependency=afterany:41,singleton\n"));
}

TEST(BatchScript, IsShellThatPassesTextOnUntouched) {
  const BatchJob job = some_job();
  const std::string script = batch_script(job, some_resources());
  EXPECT_EQ(run_process({"bash", "-n"}, script).code, 0);
  const std::size_t begin = script.find("finescale=");
  const std::string words = script.substr(begin, script.find('\n', script.find("sweep=(")) - begin);
  const ProcessOutput output =
      run_process({"bash"}, words + "\nprintf '%s\\n' \"$finescale\" \"${sweep[@]}\"\n");
  EXPECT_EQ(output.out, job.program + "\n" + job.sweep_file + "\n--set\n" + job.options[1] + "\n");
}

TEST(BatchScript, QuotesEveryPrintableByte) {
  std::string text;
  for (char c = ' '; c < 0x7f; ++c) {
    text += c;
  }
  text += "\xc3\xa4";
  EXPECT_EQ(run_process({"bash"}, "printf %s " + shell_word(text)).out, text);
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace finescale
