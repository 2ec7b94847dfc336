// SPDX-License-Identifier: Apache-2.0
// Resampled fits of one group: in each replicate every form is fitted again and the form is chosen
// again, so that intervals hold the uncertainty of the choice.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "coordinator/scaling/curve.h"
#include "coordinator/scaling/form_choice.h"
#include "coordinator/scaling/noise.h"
#include "coordinator/scaling/study.h"

namespace finescale {

struct GroupStudy {
  GroupData data;
  std::vector<const Law*> laws;
  std::vector<std::string> left_out;
  FormFits fits;  // of the data, as answers use them
  // Of the loss that was named, on single runs: what the tables of parameters show.
  std::vector<LawFitResult> named;
  bool has_form = true;  // false: every form is refused, curves join the measured means
  double delta = 0;      // Huber's, of `fits`
  Curve chosen;          // of the data
  Resampling resampling = Resampling::kParametric;
  Noise noise;
  std::vector<Curve> curves;                // chosen form of each replicate
  std::vector<double> level_shift;          // of each replicate: see Resampler::draw
  std::vector<std::vector<Theta>> by_form;  // form -> replicate -> theta
  std::vector<double> form_share;           // of the replicates that chose the form
};

// `stream` keeps the random numbers of the groups apart.
[[nodiscard]] GroupStudy study_group(GroupData data, const std::vector<std::string>& forms,
                                     const FitOptions& fit, int replicates, unsigned long long seed,
                                     unsigned long long stream);

// What one group adds to a quantity that is a sum over groups, in every replicate.
struct ReplicatePart {
  const GroupStudy* group;
  std::vector<double> values;
};
// Interval of the sum: percentiles at a level corrected for how well each group's seeds know the
// variance of its part.
[[nodiscard]] Interval replicate_interval(std::span<const ReplicatePart> parts, double level);
[[nodiscard]] Interval replicate_interval(const GroupStudy& group, std::vector<double> values,
                                          double level);

// Equal-tailed percentiles; infinities sort to their ends. NaN are left out.
[[nodiscard]] Interval percentile_interval(std::vector<double> values, double level);
[[nodiscard]] double percentile(std::vector<double>& values, double share);  // sorts

}  // namespace finescale
