// SPDX-License-Identifier: Apache-2.0
// The page, from top to bottom.
#include "coordinator/report/report.h"

#include "coordinator/report/csv_tables.h"
#include "coordinator/report/figures.h"
#include "coordinator/report/groups.h"
#include "coordinator/report/html.h"
#include "coordinator/report/style.h"
#include "coordinator/report/tables.h"
#include "core/files.h"

namespace finescale {

namespace {

std::string section(const std::string& title, const std::string& body_html) {
  return "<section>\n<h2>" + title + "</h2>\n" + body_html + "</section>\n";
}

// Numbers the figures that exist; one that cannot be drawn leaves its reason.
class FigureNumbers {
 public:
  std::string html(const Figure& figure) {
    if (figure.svg.empty()) {
      return figure.caption_html.empty() ? ""
                                         : "<p class=\"missing\">" + figure.caption_html + "</p>\n";
    }
    return "<figure>\n<div class=\"scroll\">" + figure.svg + "</div>\n<figcaption><b>Figure " +
           std::to_string(++number_) + ".</b> " + figure.caption_html +
           "</figcaption>\n</figure>\n";
  }

 private:
  int number_ = 0;
};

std::string head(const ReportData& data, const LivePart& live) {
  const std::string name =
      data.input->campaign.name.empty() ? "unnamed sweep" : data.input->campaign.name;
  // The policy forbids the page to load anything, whatever text found its way into it.
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         (live.policy.empty() ? "default-src 'none'; style-src 'unsafe-inline'" : live.policy) +
         "\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         html_escape(name) + " \xC2\xB7 finescale</title>\n<style>" + report_style() + live.style +
         "</style>\n</head>\n<body>\n<main>\n<header>\n<p class=\"kicker\">How much data, which "
         "method</p>\n<h1>" +
         html_escape(name) + "</h1>\n</header>\n" + live.panel_html;
}

}  // namespace

std::string report_html(const ReportInput& input, const LivePart& live) {
  const ReportData data = make_report_data(input);
  FigureNumbers figures;
  std::string page = head(data, live) + answer_section(data);
  if (!input.contrasts.empty()) {
    page += section(input.claim.empty() ? "Contrasts" : "The claim",
                    contrasts_table(data) + figures.html(make_contrast_figure(data)));
  }
  page += section("Loss against data", figures.html(make_law_figure(data)) + answers_table(data));
  page += section("Results", results_tables(data));
  page += section("Laws", laws_table(data) + held_out_table(data));
  page += section("Cost", figures.html(make_cost_figure(data)) + cost_table(data));
  const std::string curves = figures.html(make_curves_figure(data));
  const std::string tuning = figures.html(make_tuning_figure(data));
  page += section("Training",
                  curves + (tuning.empty() ? "<p class=\"missing\">No tuning was done: all "
                                             "methods used the values of the sweep file.</p>\n"
                                           : tuning));
  page += section("Sample answers", samples_table(data));
  page += section("Warnings", warnings_section(data));
  page += section("How it was made", provenance_section(data));
  return page +
         "<footer>Numbers behind this page: results.csv, fits.csv, curve.csv, "
         "learning_curves.csv beside it.</footer>\n</main>\n" +
         live.at_end_html + "</body>\n</html>\n";
}

std::string write_report(const ReportInput& input, const std::string& directory) {
  const ReportData data = make_report_data(input);
  make_directories(directory);
  write_file_atomically(directory + "/results.csv", trials_csv(data));
  write_file_atomically(directory + "/fits.csv", fits_csv(data));
  write_file_atomically(directory + "/curve.csv", law_curves_csv(data));
  write_file_atomically(directory + "/learning_curves.csv", learning_curves_csv(data));
  std::string page = directory + "/index.html";
  write_file_atomically(page, report_html(input));
  return page;
}

}  // namespace finescale
