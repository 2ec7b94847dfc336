// SPDX-License-Identifier: Apache-2.0
// The answer at the top, and the table of answers to the questions of the sweep.
#include <algorithm>
#include <map>

#include "coordinator/report/html.h"
#include "coordinator/report/tables.h"

namespace finescale {

namespace {

int count_of(const ReportData& data, const std::string& state) {
  const auto found = data.states.find(state);
  return found == data.states.end() ? 0 : found->second;
}

// What can be said without a law: the best mean that was measured.
std::string measured_answer(const ReportData& data) {
  const ReportGroup* best_group = nullptr;
  BudgetMean best;
  for (const ReportGroup& group : data.groups) {
    for (const BudgetMean& mean : group.means) {
      if (best_group == nullptr || mean.mean < best.mean) {
        best_group = &group;
        best = mean;
      }
    }
  }
  if (best_group == nullptr) {
    return "No trial has finished with a value of " + html_escape(data.metric_name) +
           " yet, so there is nothing to recommend.";
  }
  return "The lowest " + html_escape(data.metric_name) + " measured is " +
         typeset_number(best.mean, 4) + ", with <b>" + html_escape(best_group->name) +
         "</b> at D = " + typeset_count(best.x) + " (n = " + std::to_string(best.n) + ").";
}

bool asks_a_law(const Study& study) {
  return std::any_of(study.answers.begin(), study.answers.end(), [](const Answer& answer) {
    return answer.question == "target" || answer.question == "budget";
  });
}

// Of a study: the verdict, and how many of its rules say what.
std::string verdict_answer(const std::vector<ContrastResult>& contrasts) {
  std::map<Decision, int> counts;
  for (const ContrastResult& contrast : contrasts) {
    ++counts[contrast.decision];
  }
  std::string parts;
  for (const auto& [decision, count] : counts) {
    parts += (parts.empty() ? "" : ", ") + std::to_string(count) + " " + decision_name(decision);
  }
  return "<b>Verdict: " + std::string(decision_name(overall(contrasts))) + "</b>. Of " +
         typeset_plural(static_cast<int>(contrasts.size()), "contrast") + ": " + parts + ".";
}

std::string fact(const std::string& value_html, const std::string& name) {
  return "<div><dt>" + name + "</dt><dd>" + value_html + "</dd></div>\n";
}

std::string facts(const ReportData& data) {
  const CampaignInfo& info = data.input->campaign;
  int planned = 0;
  for (const auto& [state, count] : data.states) {
    planned += count;
  }
  std::string out =
      "<dl class=\"facts\">\n" +
      fact(typeset_count(count_of(data, "done")) + " of " + typeset_count(planned), "trials done");
  out += fact(typeset_count(static_cast<double>(data.groups.size())),
              data.groups.size() == 1 ? "method" : "methods");
  if (data.max_seeds > 0) {
    out += fact(typeset_count(data.max_seeds), data.max_seeds == 1 ? "seed" : "seeds");
  }
  if (info.train_tokens > 0) {
    out += fact(typeset_number(static_cast<double>(info.train_tokens), 3), "tokens trained on");
  }
  if (info.train_flops > 0) {
    out += fact(typeset_number(info.train_flops, 3), "training FLOPs");
  }
  if (info.wall_seconds > 0) {
    out += fact(typeset_duration(info.wall_seconds), "wall time");
  }
  return out + "</dl>\n";
}

std::string question_text(const std::string& question) {
  if (question == "target") {
    return "data to reach the target";
  }
  if (question == "budget") {
    return "best under the budget";
  }
  if (question == "next_doubling") {
    return "value of the next doubling";
  }
  return question;
}

}  // namespace

std::string answer_section(const ReportData& data) {
  const std::string& recommendation = data.input->study.recommendation;
  std::string out = "<section class=\"answer\" aria-label=\"Answer\">\n";
  if (!data.input->claim.empty()) {
    out += "<p>" + verdict_answer(data.input->contrasts) + "</p>\n";
  }
  // A study seldom asks what a law answers: then that none fits is no answer.
  if (!data.input->claim.empty() && !asks_a_law(data.input->study)) {
    out += "<p class=\"missing\">" + html_escape(data.input->claim) + "</p>\n";
  } else if (!recommendation.empty()) {
    out += "<p>" + html_escape(recommendation) + "</p>\n";
  } else {
    out += "<p>" + measured_answer(data) + "</p>\n";
    if (!data.input->no_study_reason.empty()) {
      out += "<p class=\"missing\">No law was fitted: " + html_escape(data.input->no_study_reason) +
             "</p>\n";
    }
  }
  const int unfinished = count_of(data, "pending") + count_of(data, "running");
  if (unfinished > 0) {
    out +=
        "<p class=\"missing\">The sweep is not finished: " + typeset_plural(unfinished, "trial") +
        " still to come. What follows may change.</p>\n";
  }
  return out + facts(data) + "</section>\n";
}

std::string answers_table(const ReportData& data) {
  const Study& study = data.input->study;
  if (study.answers.empty()) {
    return "<p class=\"missing\">No target and no budget were asked about, or no law could answer "
           "(laws.target, budget in the sweep file).</p>\n";
  }
  const bool has_cost = std::any_of(study.answers.begin(), study.answers.end(),
                                    [](const Answer& answer) { return answer.cost.has_value(); });
  HtmlTable table("Answers. Intervals are at " + typeset_number(100 * study.options.level, 3) +
                  "%; P(best) is the share of replicates in which the method wins.");
  table.column("question").column("method").column("D", true).column("interval", true);
  if (has_cost) {
    table.column("cost", true);
  }
  table.column("P(best)", true).column("in words");
  const std::string none = "\xE2\x80\x93";
  for (const Answer& answer : study.answers) {
    std::vector<std::string> cells = {
        html_escape(question_text(answer.question)), html_escape(answer.method),
        answer.D ? typeset_estimate(*answer.D) : none,
        answer.interval ? typeset_count_interval(*answer.interval) : none};
    if (has_cost) {
      cells.push_back(answer.cost ? typeset_number(*answer.cost, 4) : none);
    }
    cells.push_back(answer.probability_best ? typeset_fixed(*answer.probability_best, 2) : none);
    cells.push_back(html_escape(answer.text));
    table.row(std::move(cells));
  }
  return table.html();
}

}  // namespace finescale
