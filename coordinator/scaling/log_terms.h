// SPDX-License-Identifier: Apache-2.0
// Small pieces that the forms share: ln(e^p + e^q) over a block of rows, and grids of exponents.
// Blocks live on the stack, so that evaluating a law allocates nothing.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <vector>

#include "coordinator/scaling/law.h"

namespace finescale {

inline constexpr int kLawBlock = 64;  // rows per block: a few arrays of it stay in the L1 cache
using Block = Eigen::Array<double, Eigen::Dynamic, 1, 0, kLawBlock, 1>;
using ConstRows = Eigen::Map<const Eigen::ArrayXd>;
using Rows = Eigen::Map<Eigen::ArrayXd>;

// sum = ln(e^p + e^q); share = e^p / (e^p + e^q). p, q: arrays or one array and one number.
template <typename P, typename Q>
void log_add(const P& p, const Q& q, Block& sum, Block& share) {
  const Block difference = p - q;
  const Block z = (-difference.abs()).exp();
  sum = p + (-difference).max(0.0) + (1.0 + z).log();
  share = (difference >= 0.0).select(1.0 / (1.0 + z), z / (1.0 + z));
}

// Calls body(first row, number of rows) for each block of a table.
template <typename Body>
void for_each_block(std::size_t rows, Body body) {
  for (std::size_t first = 0; first < rows; first += kLawBlock) {
    const std::size_t count = rows - first < kLawBlock ? rows - first : kLawBlock;
    body(static_cast<Eigen::Index>(first), static_cast<Eigen::Index>(count));
  }
}

// Exponents to try: dense where fine-tuning and pretraining curves lie (0.05 to 1), sparse above.
[[nodiscard]] inline std::vector<double> exponent_grid() {
  return {0.03, 0.07, 0.12, 0.18, 0.25, 0.33, 0.42, 0.52, 0.64, 0.8, 1.0, 1.3, 1.8};
}
inline constexpr double kMinExponent = 1e-3;
inline constexpr double kMaxExponent = 4;
// E, or the D_l of a rectified form, below e^-9 of what it is added to changes ln L by 1e-4 at most
// before the fit asks whether 0 is as good.
inline constexpr double kNegligibleLog = 9;

[[nodiscard]] inline double log_or_zero(double c) {
  return c > 0 ? std::log(c) : kLogZero;
}
[[nodiscard]] inline double exp_or_zero(double a) {
  return a <= kLogZero ? 0.0 : std::exp(a);
}

// Bounds of e = ln E: from negligible to just under the smallest loss (noise included).
inline void bound_floor(LawBounds& bounds, int index, const LawTable& table) {
  const auto i = static_cast<std::size_t>(index);
  bounds.low[i] = table.min_y() - kNegligibleLog;
  bounds.high[i] = table.max_y();
  bounds.zero_below[i] = true;
}
inline void bound_exponent(LawBounds& bounds, int index) {
  bounds.low[static_cast<std::size_t>(index)] = kMinExponent;
  bounds.high[static_cast<std::size_t>(index)] = kMaxExponent;
}
inline void bound_free_log(LawBounds& bounds, int index) {
  bounds.low[static_cast<std::size_t>(index)] = -300;
  bounds.high[static_cast<std::size_t>(index)] = 300;
}

}  // namespace finescale
