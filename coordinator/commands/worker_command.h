// SPDX-License-Identifier: Apache-2.0
// Commands that touch tensors or tokens: the worker program takes this process's place, so its
// output, its exit code and signals are the command's.
#pragma once

#include <string>
#include <vector>

#include "coordinator/commands/command.h"

namespace finescale {

// `finescale NAME ARGS` runs `finescale-worker tool NAME ARGS`. A model in front may be a trial:
// DIR TRIAL or DIR:TRIAL.
void add_worker_command(CLI::App& app, CommandContext& context, const std::string& name,
                        const std::string& about);

// Arguments in which a trial is replaced by the directory of what it trained. Throws kConfig when
// it has none.
[[nodiscard]] std::vector<std::string> with_trial_resolved(std::vector<std::string> arguments);

}  // namespace finescale
