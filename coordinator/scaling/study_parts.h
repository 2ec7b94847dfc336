// SPDX-License-Identifier: Apache-2.0
// The steps of a study after the fits: each reads the group studies and adds its part.
#pragma once

#include <string>
#include <vector>

#include "coordinator/scaling/intervals.h"
#include "coordinator/scaling/replicates.h"
#include "coordinator/scaling/study.h"

namespace finescale {

[[nodiscard]] std::vector<LawFit> describe_fits(const GroupStudy& group, double level);
[[nodiscard]] Band make_band(const GroupStudy& group, double level);
[[nodiscard]] std::vector<HeldOut> make_held_out(const GroupStudy& group);
void find_crossovers(const std::vector<GroupStudy>& groups, double level, Study& study);
void answer_questions(const std::vector<GroupStudy>& groups, Study& study);
[[nodiscard]] std::string recommend(const std::vector<GroupStudy>& groups, const Study& study);

// Money per example of a group: examples and device time. 0 when no cost is known.
[[nodiscard]] double cost_per_example(const StudyOptions& options, const std::string& group);

// 1234.5 -> "1230", 25600 -> "25,600", infinity -> "any".
[[nodiscard]] std::string examples_text(double D);
[[nodiscard]] std::string share_text(double fraction);  // in percent, two digits or whole: 149%
[[nodiscard]] std::string number_text(double value, int digits = 3);
[[nodiscard]] std::string percent_text(double share);

}  // namespace finescale
