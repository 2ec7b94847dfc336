// SPDX-License-Identifier: Apache-2.0
// The tables of the report, as HTML and as CSV.
#pragma once

#include <string>

#include "coordinator/report/report.h"

namespace finescale {

[[nodiscard]] std::string results_html(const ReportInput& input);
[[nodiscard]] std::string laws_html(const ReportInput& input);
[[nodiscard]] std::string answers_html(const ReportInput& input);
[[nodiscard]] std::string samples_html(const ReportInput& input);
[[nodiscard]] std::string problems_html(const ReportInput& input);   // failed trials and warnings
[[nodiscard]] std::string making_html(const ReportInput& input);     // how it was made

[[nodiscard]] std::string results_table_csv(const ReportInput& input);
[[nodiscard]] std::string fits_csv(const ReportInput& input);
[[nodiscard]] std::string curves_csv(const ReportInput& input);

}  // namespace finescale
