// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/report.h"

#include "coordinator/report/figures.h"
#include "coordinator/report/page_style.h"
#include "coordinator/report/svg.h"
#include "coordinator/report/tables.h"
#include "core/files.h"

namespace finescale {

namespace {

std::string answer_html(const ReportInput& input) {
  if (input.study.recommendation.empty()) {
    return "<p class=\"answer\">No recommendation yet: " +
           escape_html(input.no_study_reason.empty() ? "too few trials are done" : input.no_study_reason) + ".</p>\n";
  }
  return "<p class=\"answer\">" + escape_html(input.study.recommendation) + "</p>\n";
}

}  // namespace

std::string report_html(const ReportInput& input) {
  std::string page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
                     escape_html(input.campaign.name) + ": how much data, which method</title>\n<style>" + kPageStyle + "</style></head>\n<body>\n";
  page += "<h1>How much data, and which method: " + escape_html(input.campaign.name) + "</h1>\n";
  page += "<p class=\"meta\">finescale " + escape_html(input.campaign.version) + " · metric " + escape_html(input.metric) + " · started " +
          escape_html(input.campaign.started) + "</p>\n";
  page += answer_html(input);
  page += answers_html(input);
  page += "<h2>Loss against data</h2>\n";
  const std::string budget = budget_figure(input);
  page += budget.empty() ? "<p>No trial is done yet.</p>\n" : budget;
  page += results_html(input) + laws_html(input);
  if (const std::string curves = curves_figure(input); !curves.empty()) {
    page += "<h2>Learning curves</h2>\n" + curves;
  }
  if (const std::string cost = cost_figure(input); !cost.empty()) {
    page += "<h2>Cost</h2>\n" + cost;
  }
  if (const std::string tuning = tuning_figure(input); !tuning.empty()) {
    page += "<h2>Tuning</h2>\n" + tuning;
  }
  if (const std::string samples = samples_html(input); !samples.empty()) {
    page += "<h2>Answers</h2>\n" + samples;
  }
  page += problems_html(input);
  page += "<h2>How it was made</h2>\n" + making_html(input);
  return page + "</body></html>\n";
}

std::string write_report(const ReportInput& input, const std::string& directory) {
  make_directories(directory);
  write_file_atomically(directory + "/results.csv", results_table_csv(input));
  write_file_atomically(directory + "/fits.csv", fits_csv(input));
  write_file_atomically(directory + "/curves.csv", curves_csv(input));
  write_file_atomically(directory + "/index.html", report_html(input));
  return directory + "/index.html";
}

}  // namespace finescale
