// SPDX-License-Identifier: Apache-2.0
// Tools that are commands of finescale with arguments of their own: `finescale NAME ARGS` becomes
// `finescale-worker tool NAME ARGS`. Their output and exit code are the command's.
#pragma once

#include <functional>
#include <string_view>

#include <CLI/CLI.hpp>

namespace finescale {

// argv[0] is the tool's name. Returns the exit code.
using ToolCommand = int (*)(int argc, char** argv);
[[nodiscard]] ToolCommand find_tool_command(std::string_view name);  // null: there is none

// Parses the arguments and runs the body; an error is told as finescale's commands tell it, with
// --json as a document too. Returns the exit code.
[[nodiscard]] int run_tool_command(CLI::App& app, int argc, char** argv, const bool& json,
                                   const std::function<int()>& body);

}  // namespace finescale
