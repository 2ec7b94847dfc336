// SPDX-License-Identifier: Apache-2.0
// The commands and their options as the parser knows them, for what is generated from it.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace finescale {

struct OptionText {
  std::vector<std::string> names;  // "--json", "-h"; empty: positional
  std::string value;               // what it takes: "FILE", "INT"; empty: nothing
  std::string help;
};
struct CommandText {
  std::string name;
  std::string help;
  std::vector<OptionText> positionals;
  std::vector<OptionText> options;
};

// In the order in which they were added; arguments that are not shown in help are left out.
[[nodiscard]] std::vector<CommandText> command_tree(const CLI::App& app);

}  // namespace finescale
