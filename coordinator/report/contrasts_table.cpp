// SPDX-License-Identifier: Apache-2.0
// Rules stated before the run: what each expected, what was found, and the verdict.
#include "coordinator/report/html.h"
#include "coordinator/report/tables.h"

namespace finescale {

namespace {

std::string differences(const std::vector<std::string>& notes) {
  std::string items;
  for (const std::string& note : notes) {
    items += "<li>" + html_escape(note) + "</li>\n";
  }
  return items.empty()
             ? items
             : "<p>Where the study differs from the work:</p>\n<ul>\n" + items + "</ul>\n";
}

}  // namespace

std::string contrasts_table(const ReportData& data) {
  const ReportInput& input = *data.input;
  std::string html;
  if (!input.claim.empty()) {
    html += "<p>" + html_escape(input.claim) + "<br><span class=\"muted\">" +
            html_escape(input.work) +
            "</span></p>\n<p><b>Verdict: " + decision_name(overall(input.contrasts)) +
            "</b></p>\n" + differences(input.notes);
  }
  HtmlTable table(
      "Contrasts, stated before the run. Effects are paired by seed; intervals are of each "
      "contrast "
      "alone, p is corrected for their number (Holm); d: mean over standard deviation of the "
      "seeds.");
  table.column("contrast").column("expected").column("found", true).column("interval", true);
  table.column("d", true).column("seeds", true).column("p", true).column("decision");
  for (const ContrastResult& r : input.contrasts) {
    table.row({"<b>" + html_escape(r.data.name) + "</b><br><span class=\"muted\">" +
                   html_escape(r.data.what) + "</span>",
               html_escape(rule_text(r.data)), typeset_number(r.effect, 3),
               typeset_interval({r.low, r.high}, 3), typeset_number(r.effect_size, 2),
               std::to_string(r.data.effects.size()), typeset_number(r.p, 2),
               std::string(decision_name(r.decision)) +
                   (r.why.empty() ? "" : ": " + html_escape(r.why))});
  }
  return html + table.html();
}

}  // namespace finescale
