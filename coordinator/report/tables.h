// SPDX-License-Identifier: Apache-2.0
// The sections of the report that are tables or text. Each returns HTML; what is missing is said in
// words, never left out silently.
#pragma once

#include <string>

#include "coordinator/report/groups.h"

namespace finescale {

[[nodiscard]] std::string answer_section(const ReportData& data);      // the top of the page
[[nodiscard]] std::string answers_table(const ReportData& data);       // target, budget, doubling
[[nodiscard]] std::string laws_table(const ReportData& data);          // every group and form
[[nodiscard]] std::string held_out_table(const ReportData& data);      // hidden budgets, predicted
[[nodiscard]] std::string contrasts_table(const ReportData& data);     // rules and their verdicts
[[nodiscard]] std::string results_tables(const ReportData& data);      // every metric
[[nodiscard]] std::string cost_table(const ReportData& data);          // per method and budget
[[nodiscard]] std::string samples_table(const ReportData& data);       // base against each method
[[nodiscard]] std::string provenance_section(const ReportData& data);  // how it was made
[[nodiscard]] std::string warnings_section(const ReportData& data);    // also failed trials

}  // namespace finescale
