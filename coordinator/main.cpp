// SPDX-License-Identifier: Apache-2.0
// finescale: the command line. Every command lives in commands/.
#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "configs/nearest_name.h"
#include "coordinator/commands/command.h"
#include "core/error.h"
#include "core/foreign_error.h"

namespace {

int failed(const finescale::CommandContext& context, const finescale::Error& error) {
  if (context.json) {
    using Handler = nlohmann::json::error_handler_t;  // what users' files say need not be UTF-8
    std::cout << nlohmann::json{{"error",
                                 {{"kind", finescale::error_kind_name(error.kind())},
                                  {"message", error.message()},
                                  {"where", error.where()},
                                  {"hint", error.hint()}}}}
                     .dump(1, ' ', false, Handler::replace)
              << "\n";
  }
  std::cerr << finescale::describe(error) << "\n";
  return finescale::exit_code(error.kind());
}

// What CLI11 says, or which command may have been meant by the first argument.
finescale::Error wrong_arguments(const CLI::App& app, const CLI::ParseError& error,
                                 const std::string& first) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    names.push_back(command->get_name());
  }
  using finescale::ErrorKind;
  if (first.empty() || first.front() == '-') {
    return {ErrorKind::kConfig, error.what(), {}, "run with --help for what is taken"};
  }
  if (std::find(names.begin(), names.end(), first) == names.end()) {
    return {ErrorKind::kConfig,
            "no command " + first + finescale::did_you_mean(first, names),
            {},
            "commands: " + finescale::joined(names)};
  }
  return {ErrorKind::kConfig, error.what(), first, "finescale " + first + " --help"};
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
    finescale::add_submit(app, context);
    finescale::add_status(app, context);
    finescale::add_stop(app, context);
    finescale::add_retry(app, context);
    finescale::add_prune(app, context);
    finescale::add_results(app, context);
    finescale::add_fit(app, context);
    finescale::add_report(app, context);
    finescale::add_serve(app, context);
    finescale::add_audit(app, context);
    finescale::add_samples(app, context);
    finescale::add_generate(app, context);
    finescale::add_chat(app, context);
    finescale::add_model_commands(app, context);
    finescale::add_study(app, context);
    finescale::add_simulate(app, context);
    finescale::add_schema(app, context);
    finescale::add_doctor(app, context);
    finescale::add_completion(app, context);
    finescale::add_man(app, context);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      context.json = std::any_of(argv, argv + argc, [](const char* argument) {
        return std::string_view(argument) == "--json";
      });
      if (error.get_exit_code() == 0) {  // --help, --version
        return app.exit(error);
      }
      return failed(context, wrong_arguments(app, error, argc > 1 ? argv[1] : ""));
    }
    return context.exit_code;
  } catch (const finescale::Error& error) {
    return failed(context, error);
  } catch (const std::exception& error) {
    return failed(context, finescale::foreign_error(error));
  }
}
