// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>

#include "coordinator/commands/command.h"
#include "coordinator/simulation/schedules.h"
#include "core/error.h"

namespace finescale {

namespace {

struct SimulateArguments {
  std::string file;
  std::vector<std::string> settings;
  int gangs = 0;
  std::uint64_t seed = 1;
  std::string faults;
  double examples_per_second = 1000;
  std::int64_t schedules = 0;
};

// A directory for the simulated store; gone afterwards.
class Scratch {
 public:
  Scratch()
      : path_((std::filesystem::temp_directory_path() / "finescale-simulate-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) {
      throw Error(ErrorKind::kResource, "cannot make a temporary directory", path_);
    }
  }
  ~Scratch() {
    std::error_code code;
    std::filesystem::remove_all(path_, code);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

int run_simulation(const SimulateArguments& arguments, bool json) {
  SimulationOptions options;
  options.sweep =
      load_sweep(arguments.file, to_overrides(arguments.settings), NamedFiles::kNeedNotExist);
  if (arguments.gangs > 0) {
    options.sweep.mutable_resources()->set_gangs(arguments.gangs);
  }
  options.seed = arguments.seed;
  options.faults = parse_faults(arguments.faults);
  options.examples_per_second = arguments.examples_per_second;
  const Scratch scratch;
  options.directory = scratch.path();
  if (arguments.schedules > 0) {
    const ScheduleReport report = run_schedules(options, arguments.schedules);
    std::cout << (json ? schedules_json(report) + "\n" : schedules_text(report));
    return report.violations.empty() ? 0 : exit_code(ErrorKind::kInternal);
  }
  const SimulationReport report = simulate(options);
  std::cout << (json ? simulation_json(report) + "\n" : simulation_text(report));
  return report.violations.empty() ? 0 : exit_code(ErrorKind::kInternal);
}

}  // namespace

void add_simulate(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "simulate", "a sweep on simulated gangs and a virtual clock: how long, and what faults cost");
  const auto arguments = std::make_shared<SimulateArguments>();
  command->add_option("SWEEP", arguments->file, "sweep file; its data need not be there")
      ->required();
  add_settings(*command, arguments->settings);
  command->add_option("--gangs", arguments->gangs, "gangs; absent: resources.gangs")
      ->check(CLI::Range(1, 4096));
  command->add_option("--seed", arguments->seed, "seed of the faults");
  command->add_option(
      "--faults", arguments->faults,
      "what goes wrong, and how often: NAME=PROBABILITY,... of fail, kill, hang, "
      "zombie, slow, rot, torn (a stage), lose, duplicate (a call), full (a commit), "
      "clock (a minute), crash (a crash point, a commit), or all");
  command->add_option("--examples-per-second", arguments->examples_per_second, "speed of a gang")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--schedules", arguments->schedules,
                   "as many simulations, of --seed and the next ones, and a table of the "
                   "transitions that each fault met")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", context.json, "as JSON on standard output");
  command->callback(
      [arguments, &context] { context.exit_code = run_simulation(*arguments, context.json); });
}

}  // namespace finescale
