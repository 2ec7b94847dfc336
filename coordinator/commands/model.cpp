// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/worker_command.h"

namespace finescale {

void add_model_commands(CLI::App& app, CommandContext& context) {
  add_worker_command(app, context, "export",
                     "write a trial or a model for other programs: --to PATH --format hf | peft | "
                     "gguf | hdf5");
  add_worker_command(app, context, "import",
                     "make a checkpoint of a model in the files of other programs: --to PATH");
  add_worker_command(app, context, "score",
                     "log-probabilities of a model on the examples of a file: --data FILE");
  add_worker_command(app, context, "verify-resume",
                     "execute updates of a trial again, interrupted and resumed, and compare their "
                     "bits with its record: DIR TRIAL");
}

}  // namespace finescale
