// SPDX-License-Identifier: Apache-2.0
// Simulates campaigns of 200 stages and more under every fault: grid, halving, asha and tpe, few
// and many attempts, and one in ten with repeated calls alone, which must cost nothing. Ends with 1
// when something was violated, or with --every-cell when a fault never met a transition.
//   schedules [--schedules N] [--seed S] [--every-cell] [--until-violation] [--parts DIR] [--kind
//   K] schedules --sum DIR [--every-cell]
// --kind: of the table below; else the seed decides.
// --parts leaves a report of every 500 seeds in DIR and skips those that are there: a long run can
// be interrupted, and cut into ranges of seeds; --sum adds them up.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "configs/parse.h"
#include "coordinator/simulation/schedules.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

// Paths from the root: keys of stages hold them, and what is simulated of a stage comes from its
// key.
constexpr const char* kSweep = R"(name: schedules
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 300}}
  pretrain: {data: /data/text.jsonl, train: {steps: 1000, batch: {examples: 16}}}
data:
  train: /data/train.jsonl
  eval: [{name: held_out, path: /data/eval.jsonl}]
trial:
  stages:
    - train: {batch: {examples: 8}, schedule: wsd}
    - evaluate: {metrics: [loss]}
axes:
  train.method: [full, {lora: {rank: 2}}, {lora: {rank: 4}}]
  seed: {linear: {from: 1, to: SEEDS, points: SEEDS}}
  train.data_budget: [100, 400, 1600, 6400]
laws: {metric: held_out.loss}
resources: {gangs: 4, heartbeat_timeout: 20, max_attempts: ATTEMPTS}
)";

struct Variant {
  const char* search;
  int seeds;  // so many that 200 stages or more are run
  int attempts;
  const char* faults;
  bool is_harmless = false;          // no attempt may fail
  double examples_per_second = 100;  // so few that a stage is long enough for every fault
};
constexpr double kShortStages = 20000;  // several an order

constexpr Variant kVariants[] = {
    {"{grid: {}}", 6, 3, "all=0.02,fail=0.005"},
    {"{grid: {}}", 6, 20, "all=0.02,fail=0.01"},
    {"{grid: {}}", 6, 6, "all=0.005,crash=0.05,lose=0.02"},
    {"{grid: {}}", 6, 2, "fail=0.03,kill=0.03,torn=0.03,crash=0.01,lose=0.02"},
    {"{halving: {eta: 2, per: [train.method]}}", 14, 20, "all=0.01,fail=0.002"},
    {"{asha: {eta: 2}}", 12, 20, "all=0.01,fail=0.03"},
    {"{tpe: {trials: 90}}", 8, 6, "all=0.01,fail=0.002"},
    {"{grid: {}}", 6, 3, "zombie=0.05,slow=0.05,clock=0.2,hang=0.02,duplicate=0.05"},
    {"{grid: {}}", 6, 3, "full=0.05,crash=0.02,kill=0.01"},
    {"{grid: {}}", 6, 3, "duplicate=0.2", true},
    {"{grid: {}}", 8, 4, "all=0.01,fail=0.002", false, kShortStages},
    {"{asha: {eta: 2}}", 12, 20, "all=0.005,crash=0.02,lose=0.02", false, kShortStages},
};
constexpr std::size_t kNumVariants = std::size(kVariants);

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
  }
  return text;
}

SimulationOptions options_of(const Variant& variant, const std::string& directory) {
  const std::string file = directory + "/sweep.yaml";
  std::string text = replaced(kSweep, "SEEDS", std::to_string(variant.seeds));
  text = replaced(text, "ATTEMPTS", std::to_string(variant.attempts));
  std::ofstream(file) << text << "search: " << variant.search << "\n";
  SimulationOptions options;
  options.sweep = load_sweep(file, {}, NamedFiles::kNeedNotExist);
  options.directory = directory;
  options.examples_per_second = variant.examples_per_second;
  options.faults = parse_faults(variant.faults);
  return options;
}

struct Arguments {
  std::int64_t schedules = 1000;
  std::uint64_t seed = 1;
  bool every_cell = false;
  bool until_violation = false;
  std::int64_t kind = -1;
  std::string parts;  // directory
  std::string sum;    // the same, to be read
};
constexpr std::int64_t kPart = 500;

ScheduleReport run(const Arguments& arguments, const std::string& directory) {
  std::vector<SimulationOptions> variants;
  std::array<PlanCache, kNumVariants> plans;
  for (std::size_t i = 0; i < kNumVariants; ++i) {
    variants.push_back(options_of(kVariants[i], directory));
    variants.back().plans = &plans[i];
  }
  ScheduleReport whole;
  for (std::int64_t i = 0; i < arguments.schedules; ++i) {
    const std::uint64_t seed = arguments.seed + static_cast<std::uint64_t>(i);
    const std::size_t kind =
        (arguments.kind >= 0 ? static_cast<std::size_t>(arguments.kind) : seed) % kNumVariants;
    SimulationOptions options = variants[kind];
    options.seed = seed;
    options.faults_are_harmless = kVariants[kind].is_harmless;
    whole.add(run_schedules(options, 1));
    std::filesystem::remove_all(directory + "/0");
    if (arguments.until_violation && !whole.violations.empty()) {
      break;
    }
  }
  return whole;
}

ScheduleReport sum_of(const std::string& parts) {
  ScheduleReport whole;
  for (const auto& entry : std::filesystem::directory_iterator(parts)) {
    if (entry.path().extension() == ".json") {
      whole.add(schedules_from_json(read_file(entry.path().string())));
    }
  }
  return whole;
}

ScheduleReport run_parts(const Arguments& arguments, const std::string& directory) {
  make_directories(arguments.parts);
  for (std::int64_t done = 0; done < arguments.schedules; done += kPart) {
    Arguments part = arguments;
    part.seed += static_cast<std::uint64_t>(done);
    part.schedules = std::min(kPart, arguments.schedules - done);
    const std::string path = arguments.parts + "/" + std::to_string(part.seed) + ".json";
    if (!std::filesystem::exists(path)) {
      write_file_atomically(path, schedules_json(run(part, directory)));
    }
  }
  return sum_of(arguments.parts);
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--every-cell") {
      arguments.every_cell = true;
    } else if (words[i] == "--until-violation") {
      arguments.until_violation = true;
    } else if (words[i] == "--schedules" && i + 1 < words.size()) {
      arguments.schedules = std::atoll(words[++i].c_str());
    } else if (words[i] == "--seed" && i + 1 < words.size()) {
      arguments.seed = std::strtoull(words[++i].c_str(), nullptr, 10);
    } else if (words[i] == "--kind" && i + 1 < words.size()) {
      arguments.kind = std::atoll(words[++i].c_str());
    } else if (words[i] == "--parts" && i + 1 < words.size()) {
      arguments.parts = words[++i];
    } else if (words[i] == "--sum" && i + 1 < words.size()) {
      arguments.sum = words[++i];
    } else {
      throw Error(ErrorKind::kConfig, "unknown argument " + words[i], {},
                  "schedules [--schedules N] [--seed S] [--every-cell] [--until-violation] "
                  "[--parts DIR] [--kind K] | --sum DIR");
    }
  }
  return arguments;
}

int run_all(const std::vector<std::string>& words) {
  const Arguments arguments = parse(words);
  std::string directory =
      (std::filesystem::temp_directory_path() / "finescale-schedules-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) {
    throw Error(ErrorKind::kResource, "cannot make a temporary directory", directory);
  }
  const ScheduleReport report = !arguments.sum.empty()     ? sum_of(arguments.sum)
                                : !arguments.parts.empty() ? run_parts(arguments, directory)
                                                           : run(arguments, directory);
  std::filesystem::remove_all(directory);
  std::cout << schedules_text(report);
  const bool is_covered = !arguments.every_cell || report.coverage.num_empty() == 0;
  return report.violations.empty() && is_covered ? 0 : 1;
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  try {
    return finescale::run_all({argv + 1, argv + argc});
  } catch (const finescale::Error& error) {
    std::cerr << finescale::describe(error) << "\n";
    return finescale::exit_code(error.kind());
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 4;
  }
}
