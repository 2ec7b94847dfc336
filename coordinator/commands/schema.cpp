// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "configs/reference.h"
#include "coordinator/commands/command.h"

namespace finescale {

void add_schema(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("schema", "reference of the sweep file, or of one field");
  struct Arguments {
    std::string field;
    bool markdown = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("FIELD", arguments->field, "field path, e.g. train.schedule or laws");
  command->add_flag("--markdown", arguments->markdown,
                    "the whole reference, as in docs/options.md");
  command->callback([arguments, &context] {
    std::cout << (arguments->markdown ? reference_markdown() : reference_text(arguments->field));
    context.exit_code = 0;
  });
}

}  // namespace finescale
