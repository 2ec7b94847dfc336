// SPDX-License-Identifier: Apache-2.0
// Loss against the tuned value, one line per group, the value taken marked.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "coordinator/report/axes.h"
#include "coordinator/report/figures.h"
#include "coordinator/report/html.h"

namespace finescale {

namespace {

constexpr double kTuningWidth = 880, kTuningHeight = 360;

struct TunedPoint {
  double value = 0, loss = 0;
};
struct TunedGroup {
  const ReportGroup* group = nullptr;
  std::vector<TunedPoint> points;  // by value
  std::size_t best = 0;
  int num_failed = 0;
};
struct Tuning {
  std::string path;
  std::vector<TunedGroup> groups;
};

// Tuning trials of the field that most of them vary (a sweep tunes one).
Tuning read_tuning(const ReportData& data) {
  Tuning tuning;
  std::map<std::string, TunedGroup> groups;
  for (const TrialRow& row : data.input->rows) {
    if (!row.is_tuning || row.tuned.empty()) {
      continue;
    }
    const auto& [path, text] = *row.tuned.begin();
    tuning.path = tuning.path.empty() ? path : tuning.path;
    const std::string name = row_group(row, data.input->x);
    TunedGroup& group = groups[name];
    group.group = data.find_group(name);
    const auto loss = row.metrics.find(data.input->metric);
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (path != tuning.path || end == text.c_str() || loss == row.metrics.end() ||
        !std::isfinite(loss->second)) {
      ++group.num_failed;
      continue;
    }
    group.points.push_back({value, loss->second});
  }
  for (auto& [name, group] : groups) {
    if (group.group == nullptr || group.points.empty()) {
      continue;
    }
    std::sort(group.points.begin(), group.points.end(),
              [](const TunedPoint& a, const TunedPoint& b) { return a.value < b.value; });
    for (std::size_t i = 0; i < group.points.size(); ++i) {
      group.best = group.points[i].loss < group.points[group.best].loss ? i : group.best;
    }
    tuning.groups.push_back(group);
  }
  return tuning;
}

void draw(SvgPicture& picture, const PlotFrame& frame, const Tuning& tuning) {
  std::vector<EndLabel> labels;
  for (const TunedGroup& group : tuning.groups) {
    picture.open_group(group.group->css_class());
    SvgPoints line;
    for (const TunedPoint& point : group.points) {
      line.emplace_back(frame.x(point.value), frame.y(point.loss));
    }
    picture.polyline(line, "thin dashed");
    for (std::size_t i = 0; i < group.points.size(); ++i) {
      const TunedPoint& point = group.points[i];
      picture.marker(frame.x(point.value), frame.y(point.loss), i == group.best ? 6 : 4.5,
                     group.group->shape(), i == group.best ? "filled" : "hollow",
                     group.group->name + " at " + typeset_number(point.value, 3) + ": " +
                         typeset_number(point.loss, 4));
    }
    picture.close_group();
    const TunedPoint& best = group.points[group.best];
    picture.text(frame.x(best.value), frame.y(best.loss) + 22, typeset_number(best.value, 3),
                 "note halo strong", TextAnchor::kMiddle);
    labels.push_back({line.back().first, line.back().second, group.group->name,
                      group.group->css_class(), group.group->shape()});
  }
  draw_end_labels(picture, frame.right() + 16, frame.top, frame.bottom(), labels);
}

std::string caption(const Tuning& tuning, const std::string& field, const ReportData& data) {
  std::string out = "<b>Equal tuning</b>: " + html_escape(data.metric_name) + " against " +
                    html_escape(field) +
                    ", both axes logarithmic. The filled mark is the value taken for all trials of "
                    "the group:";
  int num_failed = 0;
  for (const TunedGroup& group : tuning.groups) {
    out += " <b>" + html_escape(group.group->name) + "</b> " +
           typeset_number(group.points[group.best].value, 3) + " (" +
           std::to_string(group.points.size()) + " tried)";
    if (group.points.size() > 1 && (group.best == 0 || group.best + 1 == group.points.size())) {
      out += ", which lies <em>at the edge of what was tried</em>";
    }
    out += &group == &tuning.groups.back() ? "." : ";";
    num_failed += group.num_failed;
  }
  if (num_failed > 0) {
    out += " " + typeset_plural(num_failed, "tuning trial") + " gave no value.";
  }
  return out;
}

}  // namespace

Figure make_tuning_figure(const ReportData& data) {
  const Tuning tuning = read_tuning(data);
  if (tuning.groups.empty()) {
    return {"", data.num_tuning == 0 ? ""
                                     : "Tuning trials were planned, but none has finished with a "
                                       "value yet."};
  }
  std::vector<double> xs;
  std::vector<double> ys;
  for (const TunedGroup& group : tuning.groups) {
    for (const TunedPoint& point : group.points) {
      xs.push_back(point.value);
      ys.push_back(point.loss);
    }
  }
  std::string field = tuning.path.substr(tuning.path.rfind('.') + 1);
  std::replace(field.begin(), field.end(), '_', ' ');
  PlotFrame frame;
  frame.x = AxisScale::covering(xs, 0.06);
  frame.y = AxisScale::covering(ys, 0.12);
  frame.x_title = field;
  frame.y_title = data.metric_title;
  frame.x_text = TickText::kPowerOfTen;
  frame.place(74, 20, kTuningWidth - 74 - 16 - kLabelWidth, kTuningHeight - 20 - 58);
  SvgPicture picture("figure-tuning", kTuningWidth, kTuningHeight,
                     data.metric_name + " against " + field,
                     "One line per method over the values tried; the best is filled.");
  draw_axes(picture, frame);
  draw(picture, frame, tuning);
  return {picture.finish(), caption(tuning, field, data)};
}

}  // namespace finescale
