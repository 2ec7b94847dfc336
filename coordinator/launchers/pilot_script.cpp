// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/pilot_script.h"

#include "coordinator/launchers/batch_script.h"
#include "coordinator/launchers/gang_process.h"

namespace finescale {

namespace {

constexpr const char* kPilotBody = R"(
# Shortly before the limit Slurm sends USR1, which mpirun and srun pass on: the gang saves after its step and leaves.
run= warned=
trap 'warned=1; kill -USR1 "$run" 2>/dev/null' USR1
trap 'kill -TERM "$run" 2>/dev/null' TERM
"${gang[@]}" &
run=$!
[ -z "$warned" ] || kill -USR1 "$run"
until wait "$run"; ! kill -0 "$run" 2>/dev/null; do :; done
wait "$run"
code=$?
[ -z "$warned" ] || [ "$code" -ne 143 ] || code=0 # it left as it was told
exit "$code"
)";

void add_srun(std::vector<std::string>& arguments, const config::Srun& config,
              const GangLaunch& launch) {
  // A rank that dies must end its gang: srun would wait for the others for ever.
  arguments.insert(arguments.end(), {config.program(), "--mpi=" + config.mpi(),
                                     "--ntasks=" + std::to_string(launch.ranks),
                                     "--cpus-per-task=" + std::to_string(launch.threads),
                                     "--kill-on-bad-exit=1", "--input=none"});
  arguments.insert(arguments.end(), config.extra().begin(), config.extra().end());
}

void add_mpirun(std::vector<std::string>& arguments, const config::Mpirun& config,
                const GangLaunch& launch) {
  arguments.insert(arguments.end(), {config.program(), "-n", std::to_string(launch.ranks)});
  if (config.has_hostfile()) {
    arguments.insert(arguments.end(), {"--hostfile", config.hostfile()});
  }
  arguments.insert(arguments.end(), config.extra().begin(), config.extra().end());
}

}  // namespace

std::vector<std::string> pilot_arguments(const PilotJob& job, const config::Resources& resources) {
  const config::Pool& pool = resources.launcher().pool();
  std::vector<std::string> arguments;
  if (pool.has_mpirun()) {
    add_mpirun(arguments, pool.mpirun(), job.launch);
  } else {
    add_srun(arguments, pool.srun(), job.launch);
  }
  const std::vector<std::string> worker = worker_arguments(job.launch);
  arguments.insert(arguments.end(), worker.begin(), worker.end());
  return arguments;
}

std::string pilot_script(const PilotJob& job, const config::Resources& resources) {
  JobRequest request;
  request.name = job.name;
  request.log_file = without_patterns(job.launch.log_file);
  request.tasks = job.launch.ranks;
  request.may_requeue = false;  // another takes its place, under an id of its own
  std::string script = "#!/bin/bash\n" + job_directives(request, resources);
  script +=
      "# Gang " + std::to_string(job.launch.gang) +
      " of a campaign. Written and submitted by finescale run, which knows it by its name.\n\n";
  script += "cd -- " + shell_word(job.working_directory) + " || exit 3\n";
  for (const std::string& line : resources.slurm().prologue()) {
    script += line + "\n";
  }
  for (const auto& [name, value] : gang_settings()) {
    script.append("export ").append(name).append("=\"${").append(name);
    script.append("-").append(value).append("}\"\n");
  }
  for (const auto& [name, value] : gang_requirements(job.launch)) {
    script += "export " + name + "=" + shell_word(value) + "\n";
  }
  script += "gang=(";
  const char* space = "";
  for (const std::string& argument : pilot_arguments(job, resources)) {
    script += space + shell_word(argument);
    space = " ";
  }
  return script + ")\n" + kPilotBody;
}

}  // namespace finescale
