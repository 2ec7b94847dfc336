// SPDX-License-Identifier: Apache-2.0
// How it was made: the sweep, the machine, the accounting; what went wrong.
#include <map>

#include "coordinator/report/html.h"
#include "coordinator/report/tables.h"

namespace finescale {

namespace {

constexpr std::size_t kMaxWarnings = 40;

std::string or_unknown(const std::string& text) {
  return text.empty() ? "<span class=\"muted\">not recorded</span>" : html_escape(text);
}

std::string pair(const std::string& name, const std::string& value_html) {
  return "<dt>" + name + "</dt><dd>" + value_html + "</dd>\n";
}

std::string accounting_table(const ReportData& data) {
  const CampaignInfo& info = data.input->campaign;
  HtmlTable table(
      "Accounting. Shared: what was executed; every stage that several trials need is "
      "run once.");
  table.column("").column("every trial on its own", true).column("shared", true);
  table.column("saved", true);
  const auto saved = [](double alone, double shared) {
    return alone > 0 ? typeset_fixed(100 * (1 - shared / alone), 0) + "%"
                     : std::string("\xE2\x80\x93");
  };
  const auto alone_stages = static_cast<double>(info.stages_unshared);
  const auto stages = static_cast<double>(info.stages);
  table.row(
      {"stages", typeset_count(alone_stages), typeset_count(stages), saved(alone_stages, stages)});
  table.row({"training FLOPs", typeset_number(info.train_flops_unshared, 4),
             typeset_number(info.train_flops, 4),
             saved(info.train_flops_unshared, info.train_flops)});
  table.row({"training tokens", "\xE2\x80\x93",
             typeset_count(static_cast<double>(info.train_tokens)), ""});
  return table.html();
}

std::string states_text(const ReportData& data) {
  std::vector<std::string> parts;
  for (const char* state : {"done", "running", "pending", "failed", "diverged", "stopped"}) {
    const auto found = data.states.find(state);
    if (found != data.states.end()) {
      parts.push_back(typeset_count(found->second) + " " + state);
    }
  }
  if (data.num_tuning > 0) {
    parts.push_back(typeset_plural(data.num_tuning, "tuning trial"));
  }
  return parts.empty() ? "none" : joined_names(parts);
}

std::string failed_table(const ReportData& data) {
  HtmlTable table("Trials without a result. They are in no figure and no law.");
  table.column("trial").column("state").column("axes").column("why");
  for (const TrialRow& row : data.input->rows) {
    if (row.state != "failed" && row.state != "diverged" && row.state != "stopped") {
      continue;
    }
    std::string axes;
    for (const auto& [path, value] : row.axes) {
      axes += (axes.empty() ? "" : ", ") + html_escape(path) + " " +
              html_escape(axis_value_text(value));
    }
    table.row({html_escape(row.trial), html_escape(row.state), axes, or_unknown(row.why)});
  }
  return table.empty() ? "" : table.html();
}

}  // namespace

std::string provenance_section(const ReportData& data) {
  const CampaignInfo& info = data.input->campaign;
  std::string out =
      "<dl class=\"made\">\n" + pair("sweep", or_unknown(info.name)) +
      pair("program", "finescale " + or_unknown(info.version)) +
      pair("machine", or_unknown(info.machine)) + pair("started", or_unknown(info.started)) +
      pair("ended", info.ended.empty() ? "<span class=\"muted\">not recorded</span>"
                                       : html_escape(info.ended)) +
      pair("wall time", info.wall_seconds > 0 ? typeset_duration(info.wall_seconds)
                                              : "<span class=\"muted\">not recorded</span>") +
      pair("trials", states_text(data)) + "</dl>\n" + accounting_table(data);
  if (!info.sweep_text.empty()) {
    out += "<details><summary>The sweep, every default written out</summary>\n<pre>" +
           html_escape(info.sweep_text) + "</pre></details>\n";
  }
  return out;
}

std::string warnings_section(const ReportData& data) {
  std::map<std::string, int> counted;
  std::vector<std::string> order;
  const auto add = [&](const std::string& text) {
    if (counted[text]++ == 0) {
      order.push_back(text);
    }
  };
  for (const std::string& note : data.input->study.notes) {
    add(note);
  }
  for (const TrialRow& row : data.input->campaign.base_rows) {
    for (const std::string& warning : row.warnings) {
      add(warning);
    }
  }
  for (const TrialRow& row : data.input->rows) {
    for (const std::string& warning : row.warnings) {
      add(warning);
    }
  }
  const std::string failed = failed_table(data);
  if (order.empty() && failed.empty()) {
    return "<p>None.</p>\n";
  }
  std::string out;
  for (std::size_t i = 0; i < std::min(order.size(), kMaxWarnings); ++i) {
    const int times = counted[order[i]];
    out +=
        "<li>" + html_escape(order[i]) +
        (times > 1 ? " <span class=\"muted\">(" + std::to_string(times) + " times)</span>" : "") +
        "</li>\n";
  }
  if (order.size() > kMaxWarnings) {
    out += "<li>and " + std::to_string(order.size() - kMaxWarnings) + " more</li>\n";
  }
  return (out.empty() ? "" : "<ul>\n" + out + "</ul>\n") + failed;
}

}  // namespace finescale
