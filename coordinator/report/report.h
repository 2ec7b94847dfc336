// SPDX-License-Identifier: Apache-2.0
// One self-contained HTML file: pictures as inline SVG, readable without script, light and dark,
// prints well.
#pragma once

#include <string>
#include <vector>

#include "coordinator/results.h"
#include "coordinator/scaling/contrast.h"
#include "coordinator/scaling/study.h"

namespace finescale {

struct ReportInput {
  CampaignInfo campaign;
  std::vector<TrialRow> rows;
  std::string metric;  // <set>.<metric> the laws are fitted to
  std::string x = "data_budget";
  std::vector<std::string> tuned_per;  // axes whose values are tuned apart
  Study study;  // may be empty when too few trials are done: the page says so
  std::string no_study_reason;
  std::string claim;  // published, that the contrasts test; empty: the sweep is no study
  std::string work;   // where it was published
  std::vector<std::string> notes;  // where the study differs from the work
  std::vector<ContrastResult> contrasts;
};

// What a server adds to the page.
struct LivePart {
  std::string policy;       // of the page, instead of one that forbids all but its own style
  std::string style;        // after the page's own
  std::string panel_html;   // below the title
  std::string at_end_html;  // of the body
};

[[nodiscard]] std::string report_html(const ReportInput& input, const LivePart& live = {});
// Writes index.html and *.csv into the directory, atomically; returns the path of index.html.
std::string write_report(const ReportInput& input, const std::string& directory);

}  // namespace finescale
