// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "coordinator/simulation/simulate.h"

namespace finescale {

std::string simulation_json(const SimulationReport& report) {
  const nlohmann::ordered_json document = {{"trials", report.trials},
                                           {"stages", report.stages},
                                           {"failed_stages", report.failed_stages},
                                           {"makespan_s", report.makespan_s},
                                           {"ideal_s", report.ideal_s},
                                           {"utilisation", report.utilisation},
                                           {"dispatch_us_per_stage", report.dispatch_us_per_stage},
                                           {"lost_work_fraction", report.lost_work_fraction},
                                           {"coordinators", report.coordinators},
                                           {"faults", report.faults},
                                           {"audit_ok", report.violations.empty()},
                                           {"violations", report.violations},
                                           {"trials_hash", report.trials_hash},
                                           {"plan_seconds", report.plan_seconds},
                                           {"simulate_seconds", report.simulate_seconds},
                                           {"memory_bytes", report.memory_bytes},
                                           {"store_bytes", report.store_bytes}};
  return document.dump(2);
}

std::string simulation_text(const SimulationReport& report) {
  std::array<char, 1024> text{};
  std::snprintf(text.data(), text.size(),
                "simulated %lld trials, %lld stages (%lld failed), %lld coordinator(s)\n"
                "  makespan      %.0f s, ideal %.0f s, utilisation %.1f%%\n"
                "  lost work     %.2f%%\n"
                "  coordinator   %.1f us a stage, %.1f MiB store\n"
                "  this machine  %.1f s to plan, %.1f s to simulate, %.0f MiB\n",
                static_cast<long long>(report.trials), static_cast<long long>(report.stages),
                static_cast<long long>(report.failed_stages),
                static_cast<long long>(report.coordinators), report.makespan_s, report.ideal_s,
                100 * report.utilisation, 100 * report.lost_work_fraction,
                report.dispatch_us_per_stage, report.store_bytes / (1 << 20), report.plan_seconds,
                report.simulate_seconds, report.memory_bytes / (1 << 20));
  std::string out = text.data();
  for (const auto& [name, count] : report.faults) {
    out += count > 0 ? "  fault         " + name + " x " + std::to_string(count) + "\n" : "";
  }
  for (std::size_t i = 0; i < report.violations.size() && i < 20; ++i) {
    out += "  violation     " + report.violations[i] + "\n";
  }
  return out + (report.violations.empty() ? "  audit         ok\n" : "  audit         NOT ok\n");
}

}  // namespace finescale
