// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/tool_command.h"

#include <algorithm>
#include <iostream>

#include "core/error.h"
#include "core/foreign_error.h"
#include "worker/tool/chat_tool.h"
#include "worker/tool/error_answer.h"
#include "worker/tool/generate_tool.h"
#include "worker/tool/model_tools.h"
#include "worker/tool/verify_resume_tool.h"

namespace finescale {

namespace {

int failed(const Error& error, bool json) {
  if (json) {
    std::cout << error_answer(error) << "\n";
  }
  std::cerr << describe(error) << "\n";
  return exit_code(error.kind());
}

}  // namespace

ToolCommand find_tool_command(std::string_view name) {
  return name == "export"          ? export_tool
         : name == "import"        ? import_tool
         : name == "score"         ? score_tool
         : name == "generate"      ? generate_tool
         : name == "chat"          ? chat_tool
         : name == "verify-resume" ? verify_resume_tool
                                   : nullptr;
}

int run_tool_command(CLI::App& app, int argc, char** argv, const bool& json,
                     const std::function<int()>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help
      return app.exit(error);
    }
    const bool as_json = std::any_of(argv, argv + argc, [](const char* argument) {
      return std::string_view(argument) == "--json";
    });
    return failed(Error(ErrorKind::kConfig, error.what(), {}, app.get_name() + " --help"), as_json);
  }
  try {
    return body();
  } catch (const Error& error) {
    return failed(error, json);
  } catch (const std::exception& error) {
    return failed(foreign_error(error), json);
  }
}

}  // namespace finescale
