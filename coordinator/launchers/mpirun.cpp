// SPDX-License-Identifier: Apache-2.0
// mpirun on this machine, over a hosts file, or over the nodes of a batch system that it asks
// itself. Measured settings: docs/measurements.md.
#include <signal.h>

#include <thread>

#include "coordinator/launchers/gang_process.h"
#include "core/error.h"

namespace finescale {

namespace {

// Open MPI 4.1's mpirun may wait for itself for ever when its ranks are gone (PMIx_server_finalize
// joins a thread that needs a lock that nobody gives back).
constexpr double kEndSeconds = 5;

class Mpirun final : public Launcher {
 public:
  explicit Mpirun(const config::Mpirun& config) : config_(config) {}

  std::int64_t start(const GangLaunch& launch) override {
    const std::string program = find_program(config_.program());
    if (program.empty()) {
      throw Error(ErrorKind::kResource, config_.program() + " is not on PATH",
                  "resources.launcher.mpirun",
                  "apt-get install openmpi-bin, or give resources.launcher.mpirun.program");
    }
    std::vector<std::string> arguments = {program, "-n", std::to_string(launch.ranks)};
    if (config_.has_hostfile()) {
      arguments.insert(arguments.end(), {"--hostfile", config_.hostfile()});
    }
    arguments.insert(arguments.end(), config_.extra().begin(), config_.extra().end());
    const std::vector<std::string> worker = worker_arguments(launch);
    arguments.insert(arguments.end(), worker.begin(), worker.end());
    return processes_.start(launch, std::move(arguments), gang_environment(launch));
  }

  bool adopt(const GangLaunch& launch, std::int64_t pid) override {
    return processes_.adopt(launch, pid);
  }

  std::vector<GangExit> ended() override {
    processes_.kill_left_over(kEndSeconds);
    return processes_.ended();
  }

  // mpirun and, through their death signal, its ranks.
  void kill(std::int64_t gang) override { processes_.signal(gang, SIGKILL); }

  [[nodiscard]] int cores() const override {
    return static_cast<int>(std::thread::hardware_concurrency());
  }

 private:
  config::Mpirun config_;
  GangProcesses processes_;
};

}  // namespace

std::unique_ptr<Launcher> make_mpirun(const config::Mpirun& config) {
  return std::make_unique<Mpirun>(config);
}

}  // namespace finescale
