// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/worker_command.h"

namespace finescale {

void add_generate(CLI::App& app, CommandContext& context) {
  add_worker_command(app, context, "generate",
                     "continue prompts with a model: a directory, a .gguf file, or DIR:TRIAL");
}

void add_chat(CLI::App& app, CommandContext& context) {
  add_worker_command(app, context, "chat", "talk with a model, line by line");
}

}  // namespace finescale
