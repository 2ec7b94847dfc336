// SPDX-License-Identifier: Apache-2.0
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <thread>

#include <nlohmann/json.hpp>

#include "coordinator/commands/command.h"
#include "coordinator/launchers/gang_process.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/process.h"
#include "core/error.h"

namespace finescale {

namespace {

struct Check {
  std::string name;
  bool ok = false;
  std::string found;
  std::string fix;
};

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

Check check_mpirun() {
  const ProcessOutput output = run_process({"mpirun", "--version"});
  return {"mpirun", output.code == 0, output.code == 0 ? first_line(output.out) : "not on PATH",
          "apt-get install openmpi-bin"};
}

Check check_worker() {
  try {
    const std::string program = worker_program();
    const ProcessOutput output = run_process({program, "--version"});
    return {"finescale-worker", output.code == 0,
            output.code == 0 ? first_line(output.out) : "does not start",
            "build it: cmake --build --preset release"};
  } catch (const Error& error) {
    return {"finescale-worker", false, error.message(), error.hint()};
  }
}

// Two ranks start and stop: what mpirun needs (root's permission, slots) is set as for gangs.
Check check_gang() {
  ::setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 0);
  if (::geteuid() == 0) {
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  }
  const ProcessOutput output = run_process({"mpirun", "-n", "2", "true"});
  return {"mpirun -n 2", output.code == 0,
          output.code == 0 ? "starts" : "exit code " + std::to_string(output.code),
          "run `mpirun -n 2 true` and read what it says"};
}

Check check_disk() {
  struct statvfs info {};
  if (::statvfs(".", &info) != 0) {
    return {"disk", false, "unknown", "is the current directory readable?"};
  }
  const double gib =
      static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize) / (1 << 30);
  char text[64];
  std::snprintf(text, sizeof text, "%.1f GiB free here", gib);
  return {"disk", gib > 1, text, "free some space, or set output to another file system"};
}

Check check_memory() {
  const double gib = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                     static_cast<double>(::sysconf(_SC_PAGE_SIZE)) / (1 << 30);
  char text[64];
  std::snprintf(text, sizeof text, "%.1f GiB, %u cores", gib, std::thread::hardware_concurrency());
  return {"memory and cores", gib > 1, text, "use a smaller preset or fewer gangs"};
}

// Not needed on a machine without one.
Check check_gpu() {
  try {
    const ProcessOutput output = run_process({worker_program(), "tool", "gpu"});
    const nlohmann::json answer = nlohmann::json::parse(output.out);
    if (const std::string why = answer.at("why_none"); !why.empty()) {
      return {"GPU", true,
              "none: " + why +
                  ". Training runs on the CPU, and resources.device: cuda is refused. " +
                  answer.at("hint").get<std::string>(),
              ""};
    }
    std::string found;
    for (const auto& gpu : answer.at("gpus")) {
      const std::string why_not = gpu.at("why_not");
      found += (found.empty() ? "" : "; ") + gpu.at("name").get<std::string>() + ", " +
               std::to_string(gpu.at("memory_bytes").get<std::uint64_t>() >> 30) + " GiB" +
               (why_not.empty() ? "" : " (" + why_not + ")");
    }
    return {"GPU", true, found + ". Used with resources.device: cuda", ""};
  } catch (const std::exception& error) {  // of the program or its answer
    return {"GPU", false, error.what(), "does finescale-worker tool gpu < /dev/null answer?"};
  }
}

// Not needed on a machine without it.
Check check_slurm_programs() {
  if (find_program("sbatch").empty()) {
    return {"Slurm", true, "not installed: finescale submit and the launcher srun need it", ""};
  }
  ProcessOptions options;
  options.timeout_s = 10;
  options.keep_errors = true;
  const ProcessOutput version = run_process({"sbatch", "--version"}, options);
  const ProcessOutput ping = run_process({"scontrol", "ping"}, options);
  const ProcessOutput kinds = run_process({"srun", "--mpi=list"}, options);
  const bool pmix = (kinds.out + kinds.err).find("pmix") != std::string::npos;
  const bool answers = ping.code == 0;
  return {"Slurm", answers && pmix,
          first_line(version.out) + (answers ? ", answers" : ", does not answer") +
              (pmix ? ", srun knows pmix" : ", srun does not know pmix"),
          answers ? "use the launcher mpirun, or resources.launcher.srun.mpi as srun --mpi=list "
                    "names it"
                  : "scontrol ping says why; is this a machine of the cluster?"};
}

int doctor(bool json) {
  const std::vector<Check> checks = {check_mpirun(),        check_gang(), check_worker(),
                                     check_memory(),        check_disk(), check_gpu(),
                                     check_slurm_programs()};
  nlohmann::json document = nlohmann::json::array();
  bool all = true;
  for (const Check& check : checks) {
    all = all && check.ok;
    document.push_back({{"name", check.name},
                        {"ok", check.ok},
                        {"found", check.found},
                        {"fix", check.ok ? "" : check.fix}});
    if (!json) {
      std::cout << (check.ok ? "ok    " : "FAIL  ") << check.name << ": " << check.found
                << (check.ok ? "" : "\n      fix: " + check.fix) << "\n";
    }
  }
  if (json) {
    std::cout << nlohmann::json{{"checks", document}}.dump(1) << "\n";
  }
  return all ? 0 : 3;
}

}  // namespace

void add_doctor(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "doctor",
      "check MPI, worker, Slurm, instruction set, memory and disk, with the fix for each problem");
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback([&context] { context.exit_code = doctor(context.json); });
}

}  // namespace finescale
