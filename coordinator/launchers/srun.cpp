// SPDX-License-Identifier: Apache-2.0
// srun: each gang is a job step of the allocation that the coordinator runs in.
#include <signal.h>

#include <cstdlib>
#include <map>

#include "coordinator/launchers/allocation.h"
#include "coordinator/launchers/gang_process.h"
#include "core/clock.h"
#include "core/error.h"

namespace finescale {

namespace {

// srun ends its step on SIGTERM, and must live to do so; if it still runs after this it hangs.
constexpr double kStepEndSeconds = 20;

SlurmAllocation required_allocation() {
  std::optional<SlurmAllocation> found =
      slurm_allocation([](const char* name) { return std::getenv(name); });
  if (!found) {
    throw Error(ErrorKind::kResource, "srun starts gangs only inside a Slurm allocation",
                "resources.launcher.srun",
                "submit the sweep (finescale submit), run it under salloc, or leave the launcher "
                "out: mpirun");
  }
  return *std::move(found);
}

class Srun final : public Launcher {
 public:
  explicit Srun(const config::Srun& config) : config_(config), allocation_(required_allocation()) {}

  std::int64_t start(const GangLaunch& launch) override {
    const std::string program = find_program(config_.program());
    if (program.empty()) {
      throw Error(ErrorKind::kResource, config_.program() + " is not on PATH",
                  "resources.launcher.srun", "or give resources.launcher.srun.program");
    }
    std::vector<std::string> arguments = srun_arguments(allocation_, config_, launch);
    arguments.insert(arguments.begin(), program);
    const std::vector<std::string> worker = worker_arguments(launch);
    arguments.insert(arguments.end(), worker.begin(), worker.end());
    return processes_.start(launch, std::move(arguments), gang_environment(launch));
  }

  bool adopt(const GangLaunch& launch, std::int64_t pid) override {
    return processes_.adopt(launch, pid);
  }

  std::vector<GangExit> ended() override {
    std::vector<GangExit> out = processes_.ended();
    for (const GangExit& exit : out) {
      ending_.erase(exit.gang);
    }
    for (const auto& [gang, since] : ending_) {
      if (clock_.now() - since > kStepEndSeconds) {
        processes_.signal(gang, SIGKILL);
      }
    }
    return out;
  }

  void kill(std::int64_t gang) override {
    processes_.signal(gang, SIGTERM);
    ending_.emplace(gang, clock_.now());
  }

  [[nodiscard]] int cores() const override {
    return allocation_.nodes * allocation_.cores_per_node;
  }

 private:
  config::Srun config_;
  SlurmAllocation allocation_;
  SystemClock clock_;
  GangProcesses processes_;
  std::map<std::int64_t, double> ending_;  // gangs told to end, since when
};

}  // namespace

std::unique_ptr<Launcher> make_srun(const config::Srun& config) {
  return std::make_unique<Srun>(config);
}

}  // namespace finescale
