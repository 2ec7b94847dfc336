// SPDX-License-Identifier: Apache-2.0
// The processes that stand for gangs (an mpirun, an srun): started by argv, never by a shell, each
// in a session of its own, so that a terminal's Ctrl-C reaches only the coordinator. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/launchers/launcher.h"
#include "core/clock.h"

namespace finescale {

// The program on PATH, or "" when there is none.
[[nodiscard]] std::string find_program(const std::string& name);

// What a gang's log ends with: long enough for the words of many ranks. "" when it cannot be read.
[[nodiscard]] std::string end_of_log(const std::string& log_file);

// The worker and what it is told; ends the arguments of every launcher.
[[nodiscard]] std::vector<std::string> worker_arguments(const GangLaunch& launch);

// What Open MPI needs on crowded machines, where the user has not set it: name and value.
[[nodiscard]] std::map<std::string, std::string> gang_settings();
// What the gang gets in any case.
[[nodiscard]] std::map<std::string, std::string> gang_requirements(const GangLaunch& launch);

// This process's environment with both, as NAME=VALUE.
[[nodiscard]] std::vector<std::string> gang_environment(const GangLaunch& launch);

class GangProcesses {
 public:
  // arguments[0] is the program's path. Output goes to the end of the gang's log. Throws kLaunch.
  std::int64_t start(const GangLaunch& launch, std::vector<std::string> arguments,
                     std::vector<std::string> environment);
  // False unless the process lives and is that gang of that campaign: ids are used again, and the
  // coordinator before may have run on another host.
  bool adopt(const GangLaunch& launch, std::int64_t pid);
  // Those that ended since the last call. Does not block.
  std::vector<GangExit> ended();
  // Kills what has stood `patience_s` or longer without anything left to stand for: all that it
  // started has ended. ended() then tells of it.
  void kill_left_over(double patience_s);
  // To the whole session of the gang's process.
  void signal(std::int64_t gang, int signal) const;

 private:
  struct Process {
    int pid;
    bool is_child;
    std::string log_file;           // of a child
    double left_over_since_s = -1;  // on clock_
  };
  SystemClock clock_;
  double looked_at_s_ = 0;  // for what is left over
  std::map<std::int64_t, Process> gangs_;
};

}  // namespace finescale
