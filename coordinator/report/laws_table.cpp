// SPDX-License-Identifier: Apache-2.0
// Every law that was fitted, and how well it had predicted the hidden budgets.
#include <map>

#include "coordinator/report/html.h"
#include "coordinator/report/tables.h"

namespace finescale {

namespace {

const std::string kNone = "\xE2\x80\x93";

// The forms as they are printed; names of forms are fixed (`--form`).
std::string formula_html(const std::string& form) {
  static const std::map<std::string, std::string> kFormulas = {
      {"power", "A / D<sup>\xCE\xB1</sup>"},
      {"power_offset", "E + A / D<sup>\xCE\xB1</sup>"},
      {"rectified", "E + B / (D<sub>l</sub> + D<sup>\xCE\xB2</sup>)"},
      {"additive", "E + A / N<sup>\xCE\xB1</sup> + B / D<sup>\xCE\xB2</sup>"},
      {"multiplicative", "E + A / (N<sup>\xCE\xB1</sup> D<sup>\xCE\xB2</sup>)"},
      {"joint_rectified", "E + B / (N<sup>\xCE\xB1</sup> (D<sub>l</sub> + D<sup>\xCE\xB2</sup>))"},
      {"constant", "E"},
  };
  const auto found = kFormulas.find(form);
  return found == kFormulas.end() ? "" : found->second;
}

std::string parameter_html(const std::string& name) {
  if (name == "alpha") {
    return "\xCE\xB1";
  }
  if (name == "beta") {
    return "\xCE\xB2";
  }
  const std::size_t bar = name.find('_');
  return bar == std::string::npos ? html_escape(name)
                                  : html_escape(name.substr(0, bar)) + "<sub>" +
                                        html_escape(name.substr(bar + 1)) + "</sub>";
}

// A fit that the data do not identify has bounds, no point.
std::string parameters_html(const LawFit& fit) {
  std::string out;
  for (const auto& [name, value] : fit.parameters) {
    const auto interval = fit.intervals.find(name);
    out += out.empty() ? "" : "<br>";
    if (interval == fit.intervals.end()) {
      out += parameter_html(name) + " = " + typeset_number(value, 4);
    } else if (fit.identifiable) {
      out += parameter_html(name) + " = " + typeset_number(value, 4) +
             " <span class=\"muted interval\">" + typeset_interval(interval->second, 3) + "</span>";
    } else {
      out += parameter_html(name) + " in " + typeset_interval(interval->second, 3);
    }
  }
  return out;
}

}  // namespace

std::string laws_table(const ReportData& data) {
  const Study& study = data.input->study;
  if (study.fits.empty()) {
    return "<p class=\"missing\">No law was fitted" +
           (data.input->no_study_reason.empty() ? std::string()
                                                : ": " + html_escape(data.input->no_study_reason)) +
           ".</p>\n";
  }
  HtmlTable table("Laws for L = " + html_escape(data.metric_name) +
                  ". The form taken for each group is marked with a star. In brackets: " +
                  typeset_number(100 * study.options.level, 3) + "% intervals from " +
                  typeset_plural(study.options.bootstrap, "replicate") +
                  ". Errors are relative (root mean square of ln L); the held-out error is that of "
                  "the largest budgets, predicted from the smaller ones.");
  table.column("group").column("form").column("parameters").column("n", true);
  table.column("error", true).column("held-out error", true).column("identifiable");
  for (const LawFit& fit : study.fits) {
    const auto chosen = study.chosen.find(fit.group);
    const bool is_chosen = chosen != study.chosen.end() && chosen->second == fit.form;
    table.row(
        {html_escape(fit.group),
         (is_chosen ? "<b>\xE2\x98\x85 " : "<span class=\"muted\">") + html_escape(fit.form) +
             (is_chosen ? "</b>" : "</span>") + "<br><span class=\"formula\">" +
             formula_html(fit.form) + "</span>",
         parameters_html(fit), std::to_string(fit.n), typeset_percent(relative_error(fit.rmsd)),
         fit.held_out_rmsd ? typeset_percent(relative_error(*fit.held_out_rmsd)) : kNone,
         fit.identifiable ? "yes" : "no: " + html_escape(fit.why_not)},
        is_chosen ? "chosen" : "");
  }
  return table.html();
}

std::string held_out_table(const ReportData& data) {
  const Study& study = data.input->study;
  HtmlTable table(
      "Budgets hidden from the fit, then predicted: by the form taken, and by a plain "
      "power law.");
  table.column("group").column("D", true).column("measured", true).column("predicted", true);
  table.column("off by", true).column("power law", true).column("off by", true);
  for (const auto& [group, points] : study.held_out) {
    for (const HeldOut& point : points) {
      const auto off = [&](double predicted) {
        return point.measured > 0 ? typeset_fixed(100 * (predicted / point.measured - 1), 1) + "%"
                                  : kNone;
      };
      table.row({html_escape(group), typeset_count(point.D), typeset_number(point.measured, 4),
                 typeset_number(point.predicted, 4), off(point.predicted),
                 typeset_number(point.power_predicted, 4), off(point.power_predicted)});
    }
  }
  return table.empty() ? "" : table.html();
}

}  // namespace finescale
