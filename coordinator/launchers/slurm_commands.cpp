// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/slurm_commands.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "coordinator/process.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr std::size_t kMaxOutput = std::size_t{16} << 20;  // 10^5 jobs of one user
constexpr int kNotStarted = 127;

ProcessOutput call(const std::vector<std::string>& arguments, double timeout_s) {
  ProcessOptions options;
  options.timeout_s = timeout_s;
  options.keep_errors = true;
  options.max_output = kMaxOutput;
  ProcessOutput output = run_process(arguments, options);
  if (output.code == kNotStarted) {
    throw Error(ErrorKind::kResource, arguments.front() + " is not on PATH", {},
                "is this a machine of the cluster? finescale run works without Slurm");
  }
  return output;
}

// The first line of what was said, for people.
std::string words(const ProcessOutput& output, double timeout_s) {
  if (output.code == kTimedOut) {
    return "no answer within " + std::to_string(static_cast<int>(timeout_s)) + " s";
  }
  const std::string& text = output.err.empty() ? output.out : output.err;
  const std::string line = text.substr(0, std::min(text.find('\n'), std::size_t{200}));
  return line.empty() ? "exit code " + std::to_string(output.code) : line;
}

}  // namespace

BackOff::BackOff(const SlurmPatience& patience)
    : delay_(patience.first_delay_s),
      max_delay_(patience.max_delay_s),
      end_(clock_.now() + patience.give_up_s) {}

bool BackOff::pause() {
  if (clock_.now() + delay_ > end_) {
    return false;
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(delay_));
  delay_ = std::min(2 * delay_, max_delay_);
  return true;
}

std::optional<std::vector<SlurmJob>> SlurmCommands::jobs_now(std::string& trouble) const {
  const ProcessOutput output =
      call({"squeue", "--noheader", "--states=all", "--user=" + std::to_string(::geteuid()),
            std::string("--format=") + kSqueueFormat},
           patience_.call_s);
  if (output.code != 0) {
    trouble = words(output, patience_.call_s);
    return std::nullopt;
  }
  auto jobs = parse_squeue(output.out);
  if (!jobs || output.out.size() >= kMaxOutput) {
    trouble = "an answer that makes no sense: " + words(output, patience_.call_s);
    return std::nullopt;
  }
  return jobs;
}

std::vector<SlurmJob> SlurmCommands::jobs() const {
  BackOff back_off(patience_);
  for (;;) {
    std::string trouble;
    if (auto jobs = jobs_now(trouble)) {
      return *std::move(jobs);
    }
    char delay[32];
    std::snprintf(delay, sizeof delay, "%.3g s", back_off.next_delay());
    say_("squeue: " + trouble + "; asked again in " + delay);
    if (!back_off.pause()) {
      throw Error(ErrorKind::kResource, "Slurm does not answer: squeue: " + trouble, {},
                  "try again later; nothing is lost, and no job is submitted twice");
    }
  }
}

SlurmAnswer SlurmCommands::submit(const std::string& script, const std::string& name) const {
  // The name as an argument too: SBATCH_JOB_NAME of the user would beat the script's, and a job of
  // another name is not found again.
  const ProcessOutput output =
      call({"sbatch", "--parsable", "--job-name=" + name, script}, patience_.call_s);
  if (output.code == 0) {
    if (const auto job = parse_sbatch(output.out)) {
      return {SlurmOutcome::kDone, *job};
    }
    return {SlurmOutcome::kUnknown,
            "an answer that makes no sense: " + words(output, patience_.call_s)};
  }
  const std::string said = words(output, patience_.call_s);
  // Killed, or trouble on the way: the request may have arrived all the same.
  const bool refused = output.code < 124 && !output.err.empty() && !is_passing_trouble(output.err);
  return {refused ? SlurmOutcome::kRefused : SlurmOutcome::kUnknown, said};
}

SlurmAnswer SlurmCommands::cancel(const std::string& name) const {
  const ProcessOutput output = call(
      {"scancel", "--user=" + std::to_string(::geteuid()), "--jobname=" + name}, patience_.call_s);
  return {output.code == 0 ? SlurmOutcome::kDone : SlurmOutcome::kUnknown,
          words(output, patience_.call_s)};
}

SlurmAnswer SlurmCommands::requeue(const std::string& job) const {
  const ProcessOutput output = call({"scontrol", "requeue", job}, patience_.call_s);
  const std::string said = words(output, patience_.call_s);
  if (output.code == 0) {
    return {SlurmOutcome::kDone, job};
  }
  const bool refused = output.code < 124 && !output.err.empty() && !is_passing_trouble(output.err);
  return {refused ? SlurmOutcome::kRefused : SlurmOutcome::kUnknown, said};
}

}  // namespace finescale
