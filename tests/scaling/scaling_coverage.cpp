// SPDX-License-Identifier: Apache-2.0
// scaling_coverage [tables 200] [replicates 300] [huber|least_squares] [threads 2] [first seed 1]
// [runs per budget 3] [rectified|power_offset|crossing|no_crossing, or "" for all] [forms...]
// prints how often the intervals of a study hold the truth, per kind of curve and noise. Exit code
// 1 when one is off its nominal level by more than 3 points and two standard errors of the
// simulation, or a crossover that is not there is reported in 5% of the tables; what is off by more
// than 3 points is marked *.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/scaling/coverage.h"

namespace {

using namespace finescale::synthetic;  // NOLINT(google-build-using-namespace): one program

// False when a level is missed beyond chance.
bool print_tally(const char* name, const Tally& tally) {
  if (tally.tables == 0) {
    return true;
  }
  bool good = true;
  std::printf("  %-5s", name);
  for (std::size_t l = 0; l < kLevels.size(); ++l) {
    const double miss = std::abs(tally.coverage(l) - kLevels[l]);
    good = good && miss <= kAllowedMiss + 2 * standard_error(kLevels[l], tally.tables);
    std::printf(" %5.1f%s (low %4.1f, width %.3f, open %4.1f%%)", 100 * tally.coverage(l),
                miss > kAllowedMiss ? "*" : "", 100.0 * tally.low[l] / tally.tables,
                tally.width[l] / std::max(1, tally.finite[l]),
                100.0 - 100.0 * tally.finite[l] / tally.tables);
  }
  std::printf("\n");
  return good;
}

Coverage measure(const Setting& setting, const CoverageOptions& options, int tables, int threads,
                 int first) {
  Coverage total;
  std::mutex lock;
  std::atomic<int> next = 0;
  std::vector<std::jthread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      Coverage mine;
      for (int i = next++; i < tables; i = next++) {
        mine.add(measure_table(setting, options, static_cast<unsigned long long>(first + i)));
      }
      const std::lock_guard<std::mutex> guard(lock);
      total.add(mine);
    });
  }
  workers.clear();
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) {
    return std::string(argc > i ? argv[i] : otherwise);
  };
  const int tables = std::atoi(argument(1, "200").c_str());
  CoverageOptions options;
  options.replicates = std::atoi(argument(2, "300").c_str());
  options.least_squares = argument(3, "huber") == "least_squares";
  const int threads = std::atoi(argument(4, "2").c_str());
  const int first = std::atoi(argument(5, "1").c_str());
  const int runs = std::atoi(argument(6, "3").c_str());
  const std::string only = argument(7, "");
  if (argc > 8) {
    options.forms.assign(argv + 8, argv + argc);
  }
  const std::vector<std::pair<const char*, Truth>> truths = {{"rectified", Truth::kRectified},
                                                             {"power_offset", Truth::kPowerOffset},
                                                             {"crossing", Truth::kCrossing},
                                                             {"no_crossing", Truth::kNoCrossing}};
  std::printf("%d tables, %d replicates, %s; coverage in %% at 80 and 95\n", tables,
              options.replicates, options.least_squares ? "least_squares" : "huber");
  bool good = true;
  for (const auto& [name, truth] : truths) {
    if (!only.empty() && only != name) {
      continue;
    }
    for (const double sigma : {0.01, 0.04}) {
      for (const bool correlated : {false, true}) {
        const Setting setting{truth, sigma, correlated, runs};
        const auto start = std::chrono::steady_clock::now();
        const Coverage c = measure(setting, options, tables, threads, first);
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        std::printf("%s, noise %.0f%%, %s: crossover in %.1f%% of tables (%.0f s)\n", name,
                    100 * sigma, correlated ? "trunk-correlated" : "independent",
                    100.0 * c.crossovers / c.tables, seconds);
        good = print_tally("loss", c.loss) && good;
        good = print_tally("D", c.target) && good;
        good = print_tally("cross", c.crossover) && good;
        good = good && (truth != Truth::kNoCrossing || c.crossovers < 0.05 * c.tables);
        std::fflush(stdout);
      }
    }
  }
  return good ? 0 : 1;
}
