// SPDX-License-Identifier: Apache-2.0
// The numbers behind the page as CSV (RFC 4180 quoting), 17 digits so that they read back equal.
#pragma once

#include <string>

#include "coordinator/report/groups.h"

namespace finescale {

[[nodiscard]] std::string trials_csv(const ReportData& data);           // one row per trial
[[nodiscard]] std::string fits_csv(const ReportData& data);             // one row per parameter
[[nodiscard]] std::string law_curves_csv(const ReportData& data);       // bands of the chosen laws
[[nodiscard]] std::string learning_curves_csv(const ReportData& data);  // one row per step

}  // namespace finescale
