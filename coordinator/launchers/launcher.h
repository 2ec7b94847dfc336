// SPDX-License-Identifier: Apache-2.0
// Starts gangs and learns of their end. One .cpp per kind, registry.cpp lists them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "core/log.h"

namespace finescale {

struct GangLaunch {
  std::int64_t gang = 0;
  std::int64_t coordinator_epoch = 0;
  std::string campaign;      // absolute
  int gangs = 1;             // of the campaign
  bool reaches_all = false;  // the coordinator serves other machines too
  int ranks = 1;
  int threads = 1;
  std::string device = "auto";
  double orphan_timeout = 30;
  double hang_timeout = 300;
  std::string log_file;
};
struct GangExit {
  std::int64_t gang = 0;
  int code = 0;               // 128 + signal when killed
  std::string reason;         // which rank ended and how; empty when nothing is known
  bool is_blameless = false;  // taken away from outside: what it ran is not to blame
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  // Returns the number by which adopt() finds the gang again: the process that stands for it, or
  // the coordinator epoch in its job's name. Throws kResource when the launcher is not installed,
  // else kLaunch.
  virtual std::int64_t start(const GangLaunch& launch) = 0;
  // The store knows the gang now: one that would outlive this machine is not made before.
  virtual void saved(std::int64_t /*gang*/) {}
  // A gang that an earlier coordinator started; false when it is not alive.
  virtual bool adopt(const GangLaunch& launch, std::int64_t number) = 0;
  // Gangs that have got their place since the last call, where they wait for one.
  virtual std::vector<std::int64_t> begun() { return {}; }
  // Gangs that ended since the last call. Does not block.
  virtual std::vector<GangExit> ended() = 0;
  virtual void kill(std::int64_t gang) = 0;
  // That its gangs may use in all.
  [[nodiscard]] virtual int cores() const = 0;

 protected:
  Launcher() = default;
  Launcher(const Launcher&) = default;
  Launcher& operator=(const Launcher&) = default;
};

// The rank that ended a gang, from what mpirun and the ranks last wrote into its log:
// "rank 3 on node a exited on signal 9 (Killed)". Empty when the text does not say.
[[nodiscard]] std::string exit_reason(std::string_view log_end);

// `campaign` is absolute. Throws kResource when the machine has not what the launcher needs.
[[nodiscard]] std::unique_ptr<Launcher> make_launcher(const config::Sweep& sweep,
                                                      const std::string& campaign, Logger& logger);
[[nodiscard]] std::unique_ptr<Launcher> make_mpirun(const config::Mpirun& config);
// Throws kResource outside a Slurm allocation.
[[nodiscard]] std::unique_ptr<Launcher> make_srun(const config::Srun& config);
// Throws kResource without Slurm. `sweep` and `logger` must outlive it.
[[nodiscard]] std::unique_ptr<Launcher> make_pool(const config::Sweep& sweep,
                                                  const std::string& campaign, Logger& logger);

// finescale-worker beside this program. Throws kResource when it is not there.
[[nodiscard]] std::string worker_program();

}  // namespace finescale
