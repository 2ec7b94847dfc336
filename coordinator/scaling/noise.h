// SPDX-License-Identifier: Apache-2.0
// How losses scatter about a law: within trunks (run to run) and between trunks (seed to seed),
// from the replicated cells when there are several seeds (free of any form), else from fit
// residuals. And draws of new losses from that estimate, for intervals.
#pragma once

#include <vector>

#include "coordinator/scaling/group_data.h"
#include "core/random.h"

namespace finescale {

enum class Resampling {
  kRows,       // many points without trunks or replicates: rows drawn with replacement
  kTrunks,     // 5 trunks or more: whole trunks drawn with replacement
  kParametric  // fewer: variances between and within trunks drawn from what their estimates allow
};

struct Noise {
  double within = 0;      // variance of one run about its trunk
  double df_within = 0;   // degrees of freedom of that estimate
  double between = 0;     // mean square between trunks: rows_per_trunk * sigma_b^2 + sigma_w^2
  double df_between = 0;  // 0: cannot be seen (one trunk)
  double rows_per_trunk = 1;
  bool from_replicates = false;
};

// residual: y - fit of a flexible form with `parameters` parameters; used where cells have one row.
[[nodiscard]] Noise estimate_noise(const GroupData& group, const std::vector<double>& residual,
                                   int parameters);

// Enough runs beyond one per cell to see their scatter without any form.
[[nodiscard]] bool has_replicates(const GroupData& group);
// Standard deviation of one run about its cell, from the median deviation: one bad run does not
// move it. 0 without replicates.
[[nodiscard]] double robust_scatter(const GroupData& group);

[[nodiscard]] Resampling choose_resampling(const GroupData& group);

inline constexpr int kFewTrunks = 5;
inline constexpr int kManyRows = 30;

class Resampler {
 public:
  Resampler(const GroupData& group, Resampling kind, Noise noise,
            const std::vector<double>& residual);
  // New losses or new weights for one replicate, into `table` (a copy of the group's table).
  // Returns the shift of the group's level that comes from the seeds (ln L; 0 unless parametric).
  double draw(Random& random, LawTable& table);

 private:
  void draw_rows(Random& random, LawTable& table);
  void draw_trunks(Random& random, LawTable& table);
  double draw_parametric(Random& random, LawTable& table);

  const GroupData* group_;
  Resampling kind_;
  Noise noise_;
  std::vector<double> base_;       // of each row: mean of its cell, or its own value
  std::vector<double> deviation_;  // of each row from its base
  std::vector<std::vector<int>> trunk_rows_;
  std::vector<double> noise_row_;
  std::vector<int> count_;
};

// Chi-squared with any positive number of degrees of freedom (Marsaglia and Tsang 2000).
[[nodiscard]] double draw_chi_squared(Random& random, double degrees);

}  // namespace finescale
