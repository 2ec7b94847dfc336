// SPDX-License-Identifier: Apache-2.0
// The batch script of a sweep: readable, everything quoted, the same command as on a laptop inside.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"

namespace finescale {

struct BatchJob {
  std::string name;                  // of the job
  std::string program;               // finescale, absolute
  std::string working_directory;     // absolute: relative paths of the sweep start here
  std::string campaign;              // absolute
  std::string sweep_file;            // absolute
  std::vector<std::string> options;  // of finescale run and submit after the file: --set a=b, ...
  std::string after;                 // a job that must have ended first; empty: none
};

[[nodiscard]] std::string batch_script(const BatchJob& job, const config::Resources& resources);

// What every job of a sweep asks of Slurm, as lines of #SBATCH.
struct JobRequest {
  std::string name;
  std::string log_file;  // absolute; %j stands for the job's id
  int tasks = 1;
  bool may_requeue = true;
  std::vector<std::string> more;  // "--name=value"
};
[[nodiscard]] std::string job_directives(const JobRequest& request,
                                         const config::Resources& resources);

// A path in a name of a file of Slurm, where % begins a pattern.
[[nodiscard]] std::string without_patterns(const std::string& path);

// As one word of a shell and of an #SBATCH line, which reads quotes as a shell does. `text` holds
// no line break.
[[nodiscard]] std::string shell_word(const std::string& text);

}  // namespace finescale
