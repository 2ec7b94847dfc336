// SPDX-License-Identifier: Apache-2.0
// The figures of the report, one file each. Pure functions of the data.
#pragma once

#include <string>

#include "coordinator/report/groups.h"

namespace finescale {

struct Figure {
  std::string svg;           // empty: there is nothing to draw, and the caption says why
  std::string caption_html;  // what is seen
};

[[nodiscard]] Figure make_contrast_figure(const ReportData& data);
[[nodiscard]] Figure make_law_figure(const ReportData& data);
[[nodiscard]] Figure make_curves_figure(const ReportData& data);
[[nodiscard]] Figure make_cost_figure(const ReportData& data);
[[nodiscard]] Figure make_tuning_figure(const ReportData& data);

}  // namespace finescale
