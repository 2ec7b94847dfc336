// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <thread>

#include <nlohmann/json.hpp>

#include "coordinator/checked_sweep.h"
#include "coordinator/commands/command.h"
#include "coordinator/launchers/batch_script.h"
#include "coordinator/launchers/slurm_commands.h"
#include "coordinator/launchers/submission.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

constexpr std::chrono::seconds kRequeueSeconds(60);  // Slurm needs one or two

struct SubmitArguments {
  std::string file;
  std::vector<std::string> settings;
  bool extend = false;
  bool dry_run = false;
  bool again = false;
};

BatchJob batch_job(const SubmitArguments& arguments, const std::string& campaign) {
  std::error_code code;
  BatchJob job;
  job.program = std::filesystem::read_symlink("/proc/self/exe", code).string();
  job.working_directory = std::filesystem::current_path().string();
  job.campaign = campaign;
  job.sweep_file = std::filesystem::absolute(arguments.file).lexically_normal().string();
  for (const std::string& setting : arguments.settings) {
    job.options.insert(job.options.end(), {"--set", setting});
  }
  if (arguments.extend) {
    job.options.emplace_back("--extend");
  }
  for (const std::string* text : {&job.working_directory, &job.campaign, &job.sweep_file}) {
    if (text->find_first_of("\r\n") != std::string::npos) {
      throw Error(ErrorKind::kConfig, "a path with a line break cannot go into a batch script",
                  *text);
    }
  }
  for (const std::string& option : job.options) {
    if (option.find_first_of("\r\n") != std::string::npos) {
      throw Error(ErrorKind::kConfig, "a setting with a line break cannot go into a batch script",
                  option, "put it into the sweep file");
    }
  }
  return job;
}

std::string own_job() {
  const char* id = std::getenv("SLURM_JOB_ID");
  if (id == nullptr || *id == '\0') {
    throw Error(ErrorKind::kConfig, "--again is for the batch script: this is no Slurm job", {},
                "finescale submit, without it");
  }
  return id;
}

void print(const SubmittedJob& job, const std::string& directory, bool json) {
  if (json) {
    std::cout
        << nlohmann::json{{"job", job.id}, {"name", job.name}, {"submitted", job.is_new}}.dump(1)
        << "\n";
  } else {
    std::cout << job.id << "\n";
  }
  if (job.is_new) {
    std::cerr << "submitted job " << job.id << "; finescale status " << directory << " --watch\n";
  } else {
    std::cerr << "job " << job.id << " (" << job.state
              << ") runs this campaign already: nothing was submitted\n";
  }
}

// The limit comes nearer while Slurm does not answer.
SlurmPatience patience_of(const SubmitArguments& arguments, const config::Slurm& slurm) {
  SlurmPatience patience;
  if (arguments.again) {
    patience.give_up_s = std::max(10, slurm.save_before() / 2);
    patience.call_s = std::min(patience.call_s, patience.give_up_s / 2);
  }
  return patience;
}

int submit(const SubmitArguments& arguments, bool json) {
  const CheckedSweep checked = check_sweep(arguments.file, to_overrides(arguments.settings));
  const config::Resources& resources = checked.sweep.resources();
  if (resources.launcher().has_pool()) {
    throw Error(
        ErrorKind::kConfig,
        "finescale submit makes one job of a sweep; the launcher pool makes one of each gang",
        "resources.launcher.pool",
        "finescale run on a login node submits those jobs, and started again finds them; "
        "--set resources.launcher='{srun: {}}' makes it one job");
  }
  BatchJob job = batch_job(arguments, checked.directory);
  if (arguments.dry_run) {
    job.name = job_prefix(checked.directory, checked.sweep.name()) + "1";
    std::cout << batch_script(job, resources);
    return 0;
  }
  for (const std::string& found : checked.found) {
    std::cerr << found << "\n";
  }
  const SlurmCommands slurm(patience_of(arguments, resources.slurm()),
                            [](const std::string& text) { std::cerr << text << "\n"; });
  Submission submission;
  submission.campaign = checked.directory;
  submission.sweep = checked.sweep.name();
  submission.write_script = [&](const std::string& name, const std::string& after) {
    job.name = name;
    job.after = after;
    std::string path = checked.directory + "/slurm/job.sh";
    write_file_atomically(path, batch_script(job, resources), 0755);
    return path;
  };
  if (arguments.again) {
    const SubmittedJob next =
        go_on_later(submission, slurm, own_job(), resources.slurm().requeue());
    std::cerr << "goes on as job " << next.id << "\n";
    if (next.id == own_job()) {
      // Slurm ends a requeued job; one that ends by itself before that may count as failed.
      std::this_thread::sleep_for(kRequeueSeconds);
    }
  } else {
    print(submit_once(submission, slurm), checked.directory, json);
  }
  return 0;
}

}  // namespace

void add_submit(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "submit", "run a sweep as a Slurm job that requeues itself before its time limit");
  const auto arguments = std::make_shared<SubmitArguments>();
  command->add_option("SWEEP", arguments->file, "sweep file")->required();
  add_settings(*command, arguments->settings);
  command->add_flag("--extend", arguments->extend, "as of finescale run");
  command->add_flag("--dry-run", arguments->dry_run, "print the batch script, submit nothing");
  command->add_flag("--again", arguments->again, "inside the job: let it run again")->group("");
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback(
      [arguments, &context] { context.exit_code = submit(*arguments, context.json); });
}

}  // namespace finescale
