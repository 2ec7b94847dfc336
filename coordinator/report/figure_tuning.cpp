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

constexpr std::size_t kNotTaken = static_cast<std::size_t>(-1);

struct TunedPoint {
  double value = 0, loss = 0;  // of seeds the mean
  std::string text;            // the value as trials have it
};
// The trials that one value is chosen for.
struct TunedGroup {
  const ReportGroup* group = nullptr;
  std::string name;
  std::vector<TunedPoint> points;  // by value
  std::size_t taken = kNotTaken;   // of them
  int num_failed = 0;
};
struct Tuning {
  std::string path;
  std::vector<TunedGroup> groups;
};

using Values = std::map<std::string, std::string>;  // axis path -> value

// What the trial's value was chosen for.
Values tuned_for(const TrialRow& row, const ReportInput& input) {
  Values values;
  for (const std::string& path : input.tuned_per) {
    if (const auto axis = row.axes.find(path); axis != row.axes.end()) {
      values.insert(*axis);
    }
  }
  return values;
}

// Losses of one group by value; a value of which a trial failed is none.
class TunedLosses {
 public:
  void add(const std::string& text, const double* loss) {
    Seeds& seeds = values_[text];
    seeds.failed += loss == nullptr || !std::isfinite(*loss) ? 1 : 0;
    seeds.sum += loss == nullptr ? 0 : *loss;
    ++seeds.count;
  }
  void put(TunedGroup& group) const {
    for (const auto& [text, seeds] : values_) {
      char* end = nullptr;
      const double value = std::strtod(text.c_str(), &end);
      group.num_failed += seeds.failed;
      if (seeds.failed == 0 && end != text.c_str()) {
        group.points.push_back({value, seeds.sum / seeds.count, text});
      }
    }
    std::sort(group.points.begin(), group.points.end(),
              [](const TunedPoint& a, const TunedPoint& b) { return a.value < b.value; });
  }

 private:
  struct Seeds {
    double sum = 0;
    int count = 0, failed = 0;
  };
  std::map<std::string, Seeds> values_;
};

void name_apart(std::vector<TunedGroup>& groups, const std::vector<Values>& values) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    groups[i].name = groups[i].group->name;
    for (const auto& [path, value] : values[i]) {
      bool tells_apart = false;
      for (std::size_t k = 0; k < groups.size(); ++k) {
        const auto other = values[k].find(path);
        tells_apart |= groups[k].group == groups[i].group &&
                       (other == values[k].end() || other->second != value);
      }
      if (tells_apart) {
        groups[i].name += ", " + path.substr(path.rfind('.') + 1) + " " + axis_value_text(value);
      }
    }
  }
}

// Tuning trials of the first field that is tuned.
Tuning read_tuning(const ReportData& data) {
  Tuning tuning;
  std::map<Values, TunedLosses> losses;
  std::map<Values, std::string> taken;
  std::map<Values, const ReportGroup*> groups;
  for (const TrialRow& row : data.input->rows) {
    if (row.tuned.empty()) {
      continue;
    }
    const auto& [path, text] = *row.tuned.begin();
    tuning.path = path;
    const Values values = tuned_for(row, *data.input);
    if (row.is_tuning) {
      const auto loss = row.metrics.find(data.input->metric);
      losses[values].add(text, loss == row.metrics.end() ? nullptr : &loss->second);
      groups[values] = data.find_group(row_group(row, data.input->x));
    } else {
      taken[values] = text;
    }
  }
  std::vector<Values> kept;
  for (const auto& [values, of_group] : losses) {
    TunedGroup group;
    group.group = groups[values];
    of_group.put(group);
    if (group.group == nullptr || group.points.empty()) {
      continue;
    }
    for (std::size_t i = 0; i < group.points.size(); ++i) {
      group.taken = group.points[i].text == taken[values] ? i : group.taken;
    }
    tuning.groups.push_back(std::move(group));
    kept.push_back(values);
  }
  name_apart(tuning.groups, kept);
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
      picture.marker(frame.x(point.value), frame.y(point.loss), i == group.taken ? 6 : 4.5,
                     group.group->shape(), i == group.taken ? "filled" : "hollow",
                     group.name + " at " + typeset_number(point.value, 3) + ": " +
                         typeset_number(point.loss, 4));
    }
    picture.close_group();
    if (group.taken != kNotTaken) {
      const TunedPoint& taken = group.points[group.taken];
      picture.text(frame.x(taken.value), frame.y(taken.loss) + 22, typeset_number(taken.value, 3),
                   "note halo strong", TextAnchor::kMiddle);
    }
    labels.push_back({line.back().first, line.back().second, group.name, group.group->css_class(),
                      group.group->shape()});
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
    out += " <b>" + html_escape(group.name) + "</b> " +
           (group.taken == kNotTaken ? "none yet"
                                     : typeset_number(group.points[group.taken].value, 3)) +
           " (" + std::to_string(group.points.size()) + " tried)";
    if (group.points.size() > 1 && (group.taken == 0 || group.taken + 1 == group.points.size())) {
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
                     "One line per method over the values tried; the one taken is filled.");
  draw_axes(picture, frame);
  draw(picture, frame, tuning);
  return {picture.finish(), caption(tuning, field, data)};
}

}  // namespace finescale
