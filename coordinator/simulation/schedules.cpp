// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/schedules.h"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/stopwatch.h"

namespace finescale {

namespace {

constexpr std::int64_t kManyStages = 200;
constexpr std::int64_t kManyFaults = 5;
constexpr std::size_t kShown = 20;  // violations

}  // namespace

void ScheduleReport::add(std::uint64_t seed, const SimulationReport& report) {
  std::int64_t met = 0;
  for (const auto& [name, count] : report.faults) {
    met += count;
  }
  fewest_stages = schedules == 0 ? report.stages : std::min(fewest_stages, report.stages);
  ++schedules;
  stages += report.stages;
  faults += met;
  large += report.stages >= kManyStages && met >= kManyFaults ? 1 : 0;
  coverage.add(report.coverage);
  for (const std::string& violation : report.violations) {
    violations.push_back("seed " + std::to_string(seed) + ": " + violation);
  }
}

void ScheduleReport::add(const ScheduleReport& other) {
  if (other.schedules > 0) {
    fewest_stages =
        schedules == 0 ? other.fewest_stages : std::min(fewest_stages, other.fewest_stages);
  }
  schedules += other.schedules;
  stages += other.stages;
  faults += other.faults;
  large += other.large;
  seconds += other.seconds;
  coverage.add(other.coverage);
  violations.insert(violations.end(), other.violations.begin(), other.violations.end());
}

ScheduleReport run_schedules(SimulationOptions options, std::int64_t schedules) {
  const Stopwatch watch;
  ScheduleReport report;
  const std::string directory = options.directory;
  for (std::int64_t i = 0; i < schedules; ++i, ++options.seed) {
    options.directory = directory + "/" + std::to_string(i);
    try {
      report.add(options.seed, simulate(options));
    } catch (const Error& error) {
      report.violations.push_back("seed " + std::to_string(options.seed) + ": " + error.what());
    }
  }
  report.seconds = watch.seconds();
  return report;
}

std::string schedules_json(const ScheduleReport& report) {
  nlohmann::ordered_json cells;
  for (std::size_t i = 0; i < kNumFaults; ++i) {
    for (std::size_t j = 0; j < kNumTransitions; ++j) {
      cells[std::string(fault_name(static_cast<Fault>(i)))]
           [std::string(transition_name(static_cast<Transition>(j)))] = report.coverage.cells[i][j];
    }
  }
  return nlohmann::ordered_json{{"schedules", report.schedules},
                                {"stages", report.stages},
                                {"fewest_stages", report.fewest_stages},
                                {"faults", report.faults},
                                {"large", report.large},
                                {"seconds", report.seconds},
                                {"coverage", cells},
                                {"violations", report.violations}}
      .dump(2);
}

ScheduleReport schedules_from_json(const std::string& text) try {
  const nlohmann::json document = nlohmann::json::parse(text);
  ScheduleReport report;
  document.at("schedules").get_to(report.schedules);
  document.at("stages").get_to(report.stages);
  document.at("fewest_stages").get_to(report.fewest_stages);
  document.at("faults").get_to(report.faults);
  document.at("large").get_to(report.large);
  document.at("seconds").get_to(report.seconds);
  document.at("violations").get_to(report.violations);
  for (std::size_t i = 0; i < kNumFaults; ++i) {
    for (std::size_t j = 0; j < kNumTransitions; ++j) {
      document.at("coverage")
          .at(std::string(fault_name(static_cast<Fault>(i))))
          .at(std::string(transition_name(static_cast<Transition>(j))))
          .get_to(report.coverage.cells[i][j]);
    }
  }
  return report;
} catch (const nlohmann::json::exception& error) {
  throw Error(ErrorKind::kData, std::string("no report of schedules: ") + error.what());
}

std::string schedules_text(const ScheduleReport& report) {
  char line[256];
  std::snprintf(line, sizeof line,
                "%lld schedules of %lld stages or more, %lld faults; %lld with 200 stages and 5 "
                "faults or more; %.1f s\n",
                static_cast<long long>(report.schedules),
                static_cast<long long>(report.fewest_stages), static_cast<long long>(report.faults),
                static_cast<long long>(report.large), report.seconds);
  std::string text = line + coverage_text(report.coverage);
  for (std::size_t i = 0; i < std::min(kShown, report.violations.size()); ++i) {
    text += "violation: " + report.violations[i] + "\n";
  }
  return text + std::to_string(report.coverage.num_empty()) + " empty cells, " +
         std::to_string(report.violations.size()) + " violations\n";
}

}  // namespace finescale
