// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/command_tree.h"

namespace finescale {

namespace {

OptionText text_of(const CLI::Option& option) {
  OptionText text;
  for (const std::string& name : option.get_snames()) {
    text.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    text.names.push_back("--" + name);
  }
  text.help = option.get_description();
  if (option.get_positional()) {
    text.names.clear();
    text.value = option.get_name(true);
  } else if (option.get_items_expected_max() > 0) {
    text.value = option.get_type_name().empty() ? "VALUE" : option.get_type_name();
    text.value = text.value.substr(0, text.value.find_first_of(": "));  // without checks
  }
  return text;
}

}  // namespace

std::vector<CommandText> command_tree(const CLI::App& app) {
  std::vector<CommandText> commands;
  for (const CLI::App* command : app.get_subcommands({})) {
    CommandText& text = commands.emplace_back();
    text.name = command->get_name();
    text.help = command->get_description();
    for (const CLI::Option* option : command->get_options()) {
      if (!option->get_group().empty()) {
        (option->get_positional() ? text.positionals : text.options).push_back(text_of(*option));
      }
    }
  }
  return commands;
}

}  // namespace finescale
