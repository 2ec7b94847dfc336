// SPDX-License-Identifier: Apache-2.0
// What the models answer: the same prompts to the base and to each group's best-fed model.
#include <algorithm>
#include <map>

#include "coordinator/report/html.h"
#include "coordinator/report/tables.h"

namespace finescale {

namespace {

constexpr std::size_t kMaxPrompts = 8;
constexpr std::size_t kMaxLength = 400;  // characters shown of one answer

struct Speaker {
  std::string title_html;
  const std::vector<AnswerSample>* samples = nullptr;
};

const AnswerSample* find_sample(const Speaker& speaker, const AnswerSample& wanted) {
  for (const AnswerSample& sample : *speaker.samples) {
    if (sample.set == wanted.set && sample.prompt == wanted.prompt) {
      return &sample;
    }
  }
  return nullptr;
}

std::string cell(const std::string& text) {
  return text.empty()
             ? "<span class=\"muted\">(nothing)</span>"
             : "<span class=\"said\">" + html_escape(shortened_text(text, kMaxLength)) + "</span>";
}

}  // namespace

std::string samples_table(const ReportData& data) {
  std::vector<Speaker> speakers;
  for (const TrialRow& row : data.input->campaign.base_rows) {
    if (!row.samples.empty()) {
      speakers.push_back({"untouched base", &row.samples});
      break;
    }
  }
  for (const ReportGroup& group : data.groups) {
    const TrialRow* speaker = nullptr;  // first seed of the largest budget that answered
    double x = 0;
    for (const GroupPoint& point : group.points) {
      if (!point.row->samples.empty() && point.x > x) {
        speaker = point.row;
        x = point.x;
      }
    }
    if (speaker != nullptr) {
      speakers.push_back(
          {html_escape(group.name) + ", D = " + typeset_count(x), &speaker->samples});
    }
  }
  if (speakers.empty()) {
    return "<p class=\"missing\">No answers were recorded (ask for exact_match in an evaluate "
           "stage).</p>\n";
  }
  HtmlTable table(
      "Sample answers, greedy, to held-out prompts. "
      "<span class=\"right\">\xE2\x9C\x93</span> marks what equals the expected text.");
  table.column("prompt").column("expected");
  for (const Speaker& speaker : speakers) {
    table.column(speaker.title_html);
  }
  const std::vector<AnswerSample>& prompts = *speakers.back().samples;
  for (std::size_t i = 0; i < std::min(prompts.size(), kMaxPrompts); ++i) {
    std::vector<std::string> cells = {cell(prompts[i].prompt), cell(prompts[i].expected)};
    for (const Speaker& speaker : speakers) {
      const AnswerSample* sample = find_sample(speaker, prompts[i]);
      const bool is_right = sample != nullptr && sample->answer == sample->expected;
      cells.push_back(sample == nullptr
                          ? "\xE2\x80\x93"
                          : cell(sample->answer) +
                                (is_right ? " <span class=\"right\">\xE2\x9C\x93</span>" : ""));
    }
    table.row(std::move(cells));
  }
  return table.html();
}

}  // namespace finescale
