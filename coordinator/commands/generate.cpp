// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/worker_command.h"

namespace finescale {

void add_generate(CLI::App& app, CommandContext& context) {
  add_worker_command(app, context, "generate",
                     "continue prompts with a model: a directory, a checkpoint, or DIR:TRIAL");
}

}  // namespace finescale
