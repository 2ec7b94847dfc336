// SPDX-License-Identifier: Apache-2.0
// Whether a model is as often right as it is sure. The confidence in an answer is its probability,
// end token included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/eval/evaluate.h"

namespace finescale {

// calibration_error, brier, confidence.
[[nodiscard]] bool is_calibration_metric(const std::string& metric);

struct Calibration {
  // Mean distance between confidence and share of right answers, over 10 bins of equal width, by
  // their sizes (ECE, Guo et al. 2017).
  double error = 0;
  double brier = 0;       // mean squared distance between confidence and right = 1, wrong = 0
  double confidence = 0;  // mean
  std::int64_t n = 0;
  [[nodiscard]] Measured metric(const std::string& name) const;
};

// Pure.
[[nodiscard]] Calibration calibrate(const std::vector<double>& confidence,
                                    const std::vector<bool>& is_right);

// The answers' probabilities under the model that gave them: one forward pass. `end`: the token
// behind a whole answer. Collective over the mesh.
[[nodiscard]] Calibration measure_calibration(EvalModel& model, const Dataset& dataset,
                                              const std::vector<AnswerRecord>& answers,
                                              std::int32_t end);

}  // namespace finescale
