// SPDX-License-Identifier: Apache-2.0
// The contrasts of a campaign: its trials matched by all axes but those of the arms, their effects
// paired by seed. Pure, but for the text.
#pragma once

#include <string>
#include <vector>

#include "coordinator/campaign_reader.h"
#include "coordinator/scaling/contrast.h"

namespace finescale {

// In the order of the sweep file. A contrast whose trials are not all done stays undecided.
[[nodiscard]] std::vector<ContrastResult> decide_contrasts(const config::Sweep& sweep,
                                                           const std::vector<TrialRow>& rows);

// A line for each contrast that no result can decide: the sweep has too few seeds.
[[nodiscard]] std::vector<std::string> undecidable_contrasts(const config::Sweep& sweep);

// For people: a line for each, the claim and the verdict of a study.
[[nodiscard]] std::string contrasts_text(const config::Sweep& sweep,
                                         const std::vector<ContrastResult>& results);
[[nodiscard]] std::string contrasts_json(const config::Sweep& sweep,
                                         const std::vector<ContrastResult>& results);

}  // namespace finescale
