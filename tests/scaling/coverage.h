// SPDX-License-Identifier: Apache-2.0
// Simulated coverage of the intervals of a study.
#pragma once

#include <array>
#include <cmath>

#include "tests/scaling/synthetic.h"

namespace finescale::synthetic {

inline constexpr std::array<double, 2> kLevels = {0.8, 0.95};

// Of the share of intervals that hold the truth, from the nominal one.
inline constexpr double kAllowedMiss = 0.03;
[[nodiscard]] inline double standard_error(double level, int tables) {
  return std::sqrt(level * (1 - level) / tables);
}

struct Tally {
  int tables = 0;
  std::array<int, 2> covered{};   // per level
  std::array<int, 2> low{};       // the truth lies below the interval
  std::array<double, 2> width{};  // sum of widths in ln units, finite ones
  std::array<int, 2> finite{};
  void add(const Tally& other);
  [[nodiscard]] double coverage(std::size_t level) const {
    return tables > 0 ? static_cast<double>(covered[level]) / tables : std::nan("");
  }
};

struct Coverage {
  int tables = 0;
  Tally loss, target, crossover;
  int crossovers = 0;  // tables in which one was reported
  void add(const Coverage& other);
};

struct CoverageOptions {
  int replicates = 300;
  bool least_squares = false;
  std::vector<std::string> forms = {"power", "power_offset", "rectified"};
};

[[nodiscard]] Coverage measure_table(const Setting& setting, const CoverageOptions& options,
                                     unsigned long long seed);

}  // namespace finescale::synthetic
