// SPDX-License-Identifier: Apache-2.0
// What follows a run that is through: laws, metrics.h5, the report, and the recommendation for
// people.
#pragma once

#include <optional>
#include <string>

#include "coordinator/campaign_reader.h"
#include "coordinator/report/report.h"
#include "coordinator/scaling/study.h"
#include "core/log.h"

namespace finescale {

// The study of a campaign; nothing and the reason when there are too few points.
[[nodiscard]] std::optional<Study> study_campaign(const Campaign& campaign, std::string* why_not);

// What the page shows.
[[nodiscard]] ReportInput report_input(const Campaign& campaign);

// Writes report/ and metrics.h5; returns the path of the page.
std::string write_campaign_report(const Campaign& campaign);

void finish_campaign(const std::string& directory, Logger& logger);

}  // namespace finescale
