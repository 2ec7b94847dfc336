// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/batch_script.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>

#include "configs/mesh_plan.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr double kKib = 1024;

// "--name" or "--name=value"; sbatch reads the rest of the line like a shell.
void add_directive(std::string& script, const std::string& option) {
  const std::size_t equals = option.find('=');
  script += "#SBATCH " + option.substr(0, equals);
  if (equals != std::string::npos) {
    script += "=" + shell_word(option.substr(equals + 1));
  }
  script += "\n";
}

constexpr const char* kBatchBody = R"(
# Shortly before the limit Slurm sends USR1: finescale saves and ends with 143. TERM (scancel) does that too, and is the end.
run= warned=
trap 'warned=1; kill -USR1 "$run" 2>/dev/null' USR1
trap 'warned=; kill -TERM "$run" 2>/dev/null' TERM
"$finescale" run "${sweep[@]}" --wait &
run=$!
[ -z "$warned" ] || kill -USR1 "$run"
# A signal ends `wait` before the run has ended; asked again it has the run's own code.
until wait "$run"; ! kill -0 "$run" 2>/dev/null; do :; done
wait "$run"
code=$?

# Stopped by the limit and not done (143, or killed): this job is requeued, or followed by another where Slurm does not requeue.
if [ -n "$warned" ] && [ "$code" -ge 128 ]; then
  "$finescale" submit "${sweep[@]}" --again
fi
exit "$code"
)";

}  // namespace

std::string job_directives(const JobRequest& request, const config::Resources& resources) {
  const config::Slurm& slurm = resources.slurm();
  std::string script;
  const auto add = [&](const std::string& option) { add_directive(script, option); };
  add("--job-name=" + request.name);
  add("--output=" + request.log_file);
  add("--open-mode=append");
  add("--nodes=" + std::to_string(slurm.nodes()));
  add("--ntasks=" + std::to_string(request.tasks));
  const int threads = std::max(1, resources.threads_per_rank());
  add("--cpus-per-task=" + std::to_string(threads));
  if (const auto bytes = parse_bytes(resources.memory_per_rank())) {
    const auto kib = static_cast<std::int64_t>(std::ceil(*bytes / kKib / threads));
    add("--mem-per-cpu=" + std::to_string(kib) + "K");
  }
  if (slurm.has_gpus_per_node()) {
    add("--gpus-per-node=" + std::to_string(slurm.gpus_per_node()));
  }
  const auto add_text = [&](const char* name, const std::string& value) {
    if (!value.empty()) {
      add(std::string(name) + "=" + value);
    }
  };
  add_text("--account", slurm.account());
  add_text("--partition", slurm.partition());
  add_text("--qos", slurm.qos());
  add_text("--constraint", slurm.constraint());
  add_text("--exclude", slurm.exclude());
  add_text("--time", slurm.time());
  add("--signal=B:USR1@" + std::to_string(slurm.save_before()));
  add(request.may_requeue ? "--requeue" : "--no-requeue");
  for (const std::vector<std::string>& options :
       {request.more, std::vector<std::string>(slurm.extra().begin(), slurm.extra().end())}) {
    for (const std::string& option : options) {
      add(option);
    }
  }
  return script;
}

std::string without_patterns(const std::string& path) {
  std::string out;
  for (const char c : path) {
    out.append(c == '%' ? 2 : 1, c);
  }
  return out;
}

std::string shell_word(const std::string& text) {
  FS_CHECK(text.find_first_of("\r\n") == std::string::npos, "a line break in a batch script");
  constexpr std::string_view kPlain = "_-+=:,./@%";
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return (c < 0x80 && std::isalnum(c) != 0) ||
           kPlain.find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) {
    return text;
  }
  std::string out = "'";
  for (const char c : text) {
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out + "'";
}

std::string batch_script(const BatchJob& job, const config::Resources& resources) {
  JobRequest request;
  request.name = job.name;
  request.log_file = without_patterns(job.campaign) + "/logs/slurm-%j.log";
  request.tasks = resources.gangs() * resources.ranks_per_gang();
  request.may_requeue = resources.slurm().requeue();
  // A second job of this name, should one ever slip in, waits for the first.
  request.more = {"--dependency=" + (job.after.empty() ? "" : "afterany:" + job.after + ",") +
                  "singleton"};
  std::string script = "#!/bin/bash\n" + job_directives(request, resources);
  script +=
      "# Written by finescale submit, which also looks whether the job is there already: submit "
      "with it, not with sbatch.\n\n";
  script += "cd -- " + shell_word(job.working_directory) + " || exit 3\n";
  for (const std::string& line : resources.slurm().prologue()) {
    script += line + "\n";
  }
  script += "finescale=" + shell_word(job.program) + "\n";
  script += "sweep=(" + shell_word(job.sweep_file);
  for (const std::string& option : job.options) {
    script += " " + shell_word(option);
  }
  return script + ")\n" + kBatchBody;
}

}  // namespace finescale
