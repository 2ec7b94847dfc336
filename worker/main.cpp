// SPDX-License-Identifier: Apache-2.0
// finescale-worker: the ranks of a gang, or one run, or a tool.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "comm/mpi/mpi_group.h"
#include "configs/parse.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "core/foreign_error.h"
#include "core/parallel.h"
#include "core/signal_thread.h"
#include "worker/gang_loop.h"
#include "worker/run_command.h"
#include "worker/tool/data_tool.h"
#include "worker/tool/error_answer.h"
#include "worker/tool/gpu_tool.h"
#include "worker/tool/model_check.h"
#include "worker/tool/plan_tool.h"
#include "worker/tool/step_tool.h"
#include "worker/tool/tool_command.h"

namespace {

std::string answer(const std::string& tool, const std::string& request) {
  using namespace finescale;  // NOLINT(google-build-using-namespace): main only
  if (tool == "plan") {
    return plan_tool(request);
  }
  if (tool == "data") {
    return data_tool(request);
  }
  if (tool == "model") {
    return model_check_tool(request);
  }
  if (tool == "step") {
    return step_tool(request, *make_single_group());
  }
  if (tool == "gpu") {
    return gpu_tool();
  }
  throw Error(ErrorKind::kConfig, "no tool " + tool, {}, "valid: plan, data, model, step, gpu");
}

// Request on standard input, answer on standard output; an error is an answer too.
int run_tool(const std::string& tool) {
  const std::string request{std::istreambuf_iterator<char>(std::cin), {}};
  try {
    std::cout << answer(tool, request) << "\n";
    return 0;
  } catch (const finescale::Error& error) {
    std::cout << finescale::error_answer(error) << "\n";
    return finescale::exit_code(error.kind());
  }
}

int run(int argc, char** argv) {
  using namespace finescale;  // NOLINT(google-build-using-namespace): main only
  CLI::App app{"finescale-worker: trains and measures models; started by mpirun"};
  app.set_version_flag("--version", std::string("finescale-worker " FINESCALE_VERSION " (") +
                                        isa_name(active_isa()) + ")");
  RunOptions options;
  app.add_option("--run", options.file, "run the stages of this file, without a coordinator");
  app.add_flag("--resume", options.resume,
               "continue an unfinished --run from its newest good checkpoint");
  app.add_flag("--json", options.json, "print a summary of --run as JSON");
  app.add_option("--trace", options.trace, "write a timeline of --run as Chrome trace JSON");
  std::vector<std::string> settings;
  app.add_option("--set", settings, "PATH=VALUE: override a field of the file")
      ->type_size(1)
      ->allow_extra_args(false);
  GangOptions gang;
  app.add_option("--campaign", gang.campaign,
                 "campaign directory whose coordinator leads this gang")
      ->group("Gang");
  app.add_option("--gang", gang.gang, "id that the coordinator gave")->group("Gang");
  app.add_option("--threads", gang.threads, "threads of each rank")->group("Gang");
  app.add_option("--device", gang.device, "auto, cpu or cuda")->group("Gang");
  app.add_option("--orphan-timeout", gang.orphan_timeout, "seconds to wait for a coordinator")
      ->group("Gang");
  std::string step_file;
  app.add_option("--step", step_file,
                 "time training steps as this JSON file asks (see bench_peers.py)")
      ->group("Measuring");
  app.add_option("--hang-timeout", gang.hang_timeout, "seconds that ranks may wait; 0: for ever")
      ->group("Gang");
  std::string tool;
  app.add_subcommand("tool", "serves finescale: no MPI")
      ->add_option(
          "TOOL", tool,
          "plan | data | model | step | gpu, or a command: export, import, score, generate, chat, "
          "verify-resume")
      ->required();
  CLI11_PARSE(app, argc, argv);
  if (!tool.empty()) {
    return run_tool(tool);
  }
  if (options.file.empty() && gang.campaign.empty() && step_file.empty()) {
    throw Error(ErrorKind::kConfig, "nothing to do", {}, "give --run RUN.yaml, or see --help");
  }
  for (const std::string& setting : settings) {
    options.overrides.push_back(parse_override(setting));
  }
  // A run that no launcher started is one rank and needs no MPI: it starts a second sooner.
  std::optional<MpiSession> session;
  if (options.file.empty() || is_launched_rank()) {
    session.emplace(&argc, &argv);
  }
  const auto world = session ? make_world_group() : make_single_group();
  try {
    if (!step_file.empty()) {
      const std::string figures = step_tool(read_file(step_file), *world);
      if (world->rank() == 0) {
        std::cout << figures << "\n";
      }
      return 0;
    }
    return gang.campaign.empty() ? run_command(*world, options) : run_gang(*world, gang);
  } catch (const Error& error) {
    std::fprintf(stderr, "rank %d: %s\n", world->rank(), describe(error).c_str());
    if (world->size() > 1) {
      world->abort(exit_code(error.kind()));
    }
    return exit_code(error.kind());
  }
}

}  // namespace

int main(int argc, char** argv) {
  finescale::limit_spinning(argv);
  const finescale::SignalThread signals;  // before any other thread
  try {
    if (argc > 2 && std::string_view(argv[1]) == "tool") {
      if (const auto command = finescale::find_tool_command(argv[2])) {
        return command(argc - 2, argv + 2);
      }
    }
    return run(argc, argv);
  } catch (const finescale::Error& error) {
    std::fprintf(stderr, "%s\n", finescale::describe(error).c_str());
    return finescale::exit_code(error.kind());
  } catch (const std::exception& error) {
    const finescale::Error known = finescale::foreign_error(error);
    std::fprintf(stderr, "%s\n", finescale::describe(known).c_str());
    return finescale::exit_code(known.kind());
  }
}
