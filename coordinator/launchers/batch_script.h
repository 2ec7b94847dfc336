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

// As one word of a shell and of an #SBATCH line, which reads quotes as a shell does. `text` holds
// no line break.
[[nodiscard]] std::string shell_word(const std::string& text);

}  // namespace finescale
