// SPDX-License-Identifier: Apache-2.0
// finescale: the command line. Every command lives in commands/.
#include <algorithm>
#include <iostream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "coordinator/commands/command.h"
#include "core/error.h"

namespace {

int failed(const finescale::CommandContext& context, const finescale::Error& error) {
  if (context.json) {
    std::cout << nlohmann::json{{"error",
                                 {{"kind", finescale::error_kind_name(error.kind())},
                                  {"message", error.message()},
                                  {"where", error.where()},
                                  {"hint", error.hint()}}}}
                     .dump(1)
              << "\n";
  }
  std::cerr << finescale::describe(error) << "\n";
  return finescale::exit_code(error.kind());
}

}  // namespace

int main(int argc, char** argv) {
  finescale::CommandContext context;
  try {
    CLI::App app{"finescale: how much data, and which fine-tuning method? Answers by experiment."};
    app.set_version_flag("--version", "finescale " FINESCALE_VERSION);
    app.require_subcommand(1);
    finescale::add_init(app, context);
    finescale::add_plan(app, context);
    finescale::add_run(app, context);
    finescale::add_status(app, context);
    finescale::add_stop(app, context);
    finescale::add_retry(app, context);
    finescale::add_results(app, context);
    finescale::add_fit(app, context);
    finescale::add_report(app, context);
    finescale::add_audit(app, context);
    finescale::add_samples(app, context);
    finescale::add_schema(app, context);
    finescale::add_doctor(app, context);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      context.json = std::any_of(argv, argv + argc, [](const char* argument) {
        return std::string_view(argument) == "--json";
      });
      if (context.json && error.get_exit_code() != 0) {
        return failed(context, finescale::Error(finescale::ErrorKind::kConfig, error.what(), {},
                                                "run with --help for what is taken"));
      }
      return app.exit(error) == 0 ? 0 : 2;
    }
    return context.exit_code;
  } catch (const finescale::Error& error) {
    return failed(context, error);
  } catch (const std::exception& error) {
    return failed(context, finescale::Error(finescale::ErrorKind::kInternal, error.what()));
  }
}
