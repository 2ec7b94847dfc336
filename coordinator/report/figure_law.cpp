// SPDX-License-Identifier: Apache-2.0
// Loss against data budget: seeds, means, law, band, hidden points, crossovers.
#include <algorithm>
#include <cmath>

#include "coordinator/report/axes.h"
#include "coordinator/report/figures.h"
#include "coordinator/report/html.h"

namespace finescale {

namespace {

constexpr double kLawWidth = 880, kLawHeight = 520;
constexpr double kExtrapolation = 4;  // the law is drawn up to this many times the largest budget
constexpr double kBaseInReach = 1.8;  // draw the base's loss when at most this times the largest

struct Extent {
  double low = 0, high = 0;  // of the measured budgets
};

Extent measured_extent(const ReportData& data) {
  Extent extent{1e300, 0};
  for (const ReportGroup& group : data.groups) {
    for (const BudgetMean& mean : group.means) {
      extent.low = std::min(extent.low, mean.x);
      extent.high = std::max(extent.high, mean.x);
    }
  }
  return extent;
}

bool is_drawn(const Extent& extent, double x) {
  return x >= extent.low * 0.8 && x <= extent.high * kExtrapolation;
}

bool base_is_drawn(const ReportData& data) {
  double high = 0;
  for (const ReportGroup& group : data.groups) {
    for (const GroupPoint& point : group.points) {
      high = std::max(high, point.value);
    }
  }
  return data.base_value && *data.base_value <= kBaseInReach * high;
}

PlotFrame make_frame(const ReportData& data, const Extent& extent) {
  std::vector<double> xs = {extent.low, extent.high};
  std::vector<double> ys;
  for (const ReportGroup& group : data.groups) {
    for (const GroupPoint& point : group.points) {
      ys.push_back(point.value);
    }
  }
  for (const auto& [name, band] : data.input->study.bands) {
    for (std::size_t i = 0; i < band.D.size(); ++i) {
      if (is_drawn(extent, band.D[i])) {
        xs.push_back(band.D[i]);
        ys.push_back(band.middle[i]);
      }
    }
  }
  if (base_is_drawn(data)) {
    ys.push_back(*data.base_value);
  }
  PlotFrame frame;
  frame.x = AxisScale::covering(xs, 0.03);
  frame.y = AxisScale::covering(ys, 0.06);
  frame.x_title = data.x_title;
  frame.y_title = data.metric_title;
  frame.place(74, 44, kLawWidth - 74 - 16 - kLabelWidth, kLawHeight - 44 - 62);
  return frame;
}

SvgPoints placed(const PlotFrame& frame, const Extent& extent, const Band& band,
                 const std::vector<double>& values) {
  SvgPoints points;
  for (std::size_t i = 0; i < std::min(band.D.size(), values.size()); ++i) {
    if (is_drawn(extent, band.D[i]) && std::isfinite(values[i])) {
      points.emplace_back(frame.x(band.D[i]), frame.y(values[i]));
    }
  }
  return points;
}

// Where two predictions swap: a dashed line, its interval as a shade.
void draw_crossovers(SvgPicture& picture, const PlotFrame& frame, const Study& study) {
  for (const Crossover& crossover : study.crossovers) {
    if (!frame.x.contains(crossover.at)) {
      continue;
    }
    const double x = frame.x(crossover.at);
    const double from = std::clamp(frame.x(crossover.interval.low), frame.left, frame.right());
    const double to = std::clamp(frame.x(crossover.interval.high), frame.left, frame.right());
    if (to > from) {
      picture.rectangle(from, frame.top, to - from, frame.height, "crossover-interval");
    }
    picture.line(x, frame.top, x, frame.bottom(), "crossover");
  }
}

// Losses fall to the right, so there is room at the bottom left and at the top right.
void label_crossovers(SvgPicture& picture, const PlotFrame& frame, const Study& study) {
  double bottom_y = frame.bottom() - 62;
  double top_y = frame.top + 18;
  for (const Crossover& crossover : study.crossovers) {
    if (!frame.x.contains(crossover.at)) {
      continue;
    }
    const bool on_left = frame.x(crossover.at) < frame.left + frame.width / 2;
    const TextAnchor anchor = on_left ? TextAnchor::kStart : TextAnchor::kEnd;
    const double x = frame.x(crossover.at) + (on_left ? 8 : -8);
    const double y = on_left ? bottom_y : top_y;
    (on_left ? bottom_y : top_y) += on_left ? -54 : 54;
    picture.text(x, y, "crossover at D = " + typeset_count(crossover.at), "note halo strong",
                 anchor);
    picture.text(x, y + 16, "better below: " + shortened_text(crossover.a, 36), "note halo",
                 anchor);
    picture.text(x, y + 32, "above: " + shortened_text(crossover.b, 36), "note halo", anchor);
  }
}

void draw_levels(SvgPicture& picture, const PlotFrame& frame, const ReportData& data,
                 const Extent& extent) {
  if (base_is_drawn(data)) {
    const double y = frame.y(*data.base_value);
    picture.line(frame.left, y, frame.right(), y, "level");
    picture.text(frame.right() - 6, y + 16,
                 "untouched base: " + typeset_number(*data.base_value, 4), "note",
                 TextAnchor::kEnd);
  }
  if (const auto target = data.input->study.options.target; target && frame.y.contains(*target)) {
    const double y = frame.y(*target);
    picture.line(frame.left, y, frame.right(), y, "level");
    picture.text(frame.left + 6, y - 6, "target: " + typeset_number(*target, 4), "note");
  }
  const double end = frame.x(extent.high);
  if (!data.input->study.bands.empty() && frame.right() - end > 60) {
    picture.line(end, frame.bottom() - 26, end, frame.bottom(), "level");
    picture.text(end + 6, frame.bottom() - 10, "extrapolated \xE2\x86\x92", "note");
  }
}

void draw_group(SvgPicture& picture, const PlotFrame& frame, const ReportData& data,
                const ReportGroup& group, const Extent& extent) {
  picture.open_group(group.css_class());
  const auto band = data.input->study.bands.find(group.name);
  if (band != data.input->study.bands.end()) {
    picture.band(placed(frame, extent, band->second, band->second.high),
                 placed(frame, extent, band->second, band->second.low), "band");
    picture.polyline(placed(frame, extent, band->second, band->second.middle), "law");
  } else {
    SvgPoints line;
    for (const BudgetMean& mean : group.means) {
      line.emplace_back(frame.x(mean.x), frame.y(mean.mean));
    }
    picture.polyline(line, "thin");
  }
  for (const GroupPoint& point : group.points) {
    if (data.max_seeds > 1) {
      picture.marker(frame.x(point.x), frame.y(point.value), 2.2, 0, "seed",
                     group.name + ", D = " + typeset_count(point.x) + ", seed " + point.seed +
                         ": " + typeset_number(point.value, 4));
    }
  }
  const auto hidden = data.input->study.held_out.find(group.name);
  for (const BudgetMean& mean : group.means) {
    const bool is_hidden = hidden != data.input->study.held_out.end() &&
                           std::any_of(hidden->second.begin(), hidden->second.end(),
                                       [&](const HeldOut& h) { return h.D == mean.x; });
    picture.marker(frame.x(mean.x), frame.y(mean.mean), 5, group.shape(),
                   is_hidden ? "hollow" : "filled",
                   group.name + ", D = " + typeset_count(mean.x) + ": " +
                       typeset_number(mean.mean, 4) + " (n = " + std::to_string(mean.n) + ")");
  }
  if (hidden != data.input->study.held_out.end()) {
    for (const HeldOut& point : hidden->second) {
      if (std::isfinite(point.predicted) && point.predicted > 0) {
        picture.marker(frame.x(point.D), frame.y(point.predicted), 4, -1, "cross",
                       "predicted: " + typeset_number(point.predicted, 4));
      }
    }
  }
  picture.close_group();
}

void draw_key(SvgPicture& picture, const PlotFrame& frame, const ReportData& data) {
  const Study& study = data.input->study;
  double x = frame.left;
  const double y = 20;
  const auto entry = [&](const std::string& text) {
    picture.text(x + 19, y + 4.5, text, "note");
    x += 38 + 6.6 * static_cast<double>(text.size());
  };
  picture.open_group("key");
  picture.marker(x + 6, y, 5, 0, "filled");
  entry(data.max_seeds > 1 ? "mean of seeds" : "measured");
  if (data.max_seeds > 1) {
    picture.marker(x + 6, y, 2.2, 0, "seed");
    entry("one seed");
  }
  if (!study.bands.empty()) {
    picture.rectangle(x - 2, y - 6, 16, 12, "band");
    picture.line(x - 2, y, x + 14, y, "law");
    entry("law, " + typeset_number(100 * study.options.level, 3) + "% interval");
  }
  if (!study.held_out.empty()) {
    picture.marker(x + 6, y, 5, 0, "hollow");
    entry("held out");
    picture.marker(x + 6, y, 4, -1, "cross");
    entry("forecast of it");
  }
  picture.close_group();
}

std::string crossover_sentence(const Crossover& crossover, double level) {
  return " <b>" + html_escape(crossover.a) +
         "</b> is better below D = " + typeset_count(crossover.at) + " and <b>" +
         html_escape(crossover.b) + "</b> above (" + typeset_number(100 * level, 3) +
         "% interval " + typeset_count_interval(crossover.interval) + "; " +
         typeset_number(100 * crossover.probability, 3) + "% of the replicates cross).";
}

std::string caption(const ReportData& data) {
  const Study& study = data.input->study;
  std::string out = "<b>" + html_escape(capitalised(data.metric_name)) + " against " +
                    html_escape(data.x_name) + "</b>, both axes logarithmic.";
  for (const ReportGroup& group : data.groups) {
    if (group.means.size() > 1) {
      const BudgetMean& first = group.means.front();
      const BudgetMean& last = group.means.back();
      out += " <b>" + html_escape(group.name) + "</b>: " + typeset_number(first.mean, 4) + " at " +
             typeset_count(first.x) + ", " + typeset_number(last.mean, 4) + " at " +
             typeset_count(last.x) + ".";
    }
  }
  if (!study.held_out.empty()) {
    out +=
        " Hollow marks were held out in turn: the crosses are what the form taken had forecast "
        "for them from smaller budgets alone. The lines are fitted to all points.";
  }
  for (const Crossover& crossover : study.crossovers) {
    out += crossover_sentence(crossover, study.options.level);
  }
  if (study.bands.empty()) {
    out += " Lines join the means: no law was fitted.";
  } else if (study.crossovers.empty() && data.groups.size() > 1) {
    out += " No crossover was found.";
  }
  if (data.max_seeds <= 1) {
    out += " Each point is one run: the spread over seeds is not known.";
  }
  if (data.base_value && !base_is_drawn(data)) {
    out +=
        " The untouched base (" + typeset_number(*data.base_value, 4) + ") lies above the frame.";
  }
  return out;
}

}  // namespace

Figure make_law_figure(const ReportData& data) {
  const Extent extent = measured_extent(data);
  if (extent.high <= 0) {
    return {"", "No trial has finished with a value of " + html_escape(data.input->metric) +
                    ": there is nothing to draw yet."};
  }
  const PlotFrame frame = make_frame(data, extent);
  SvgPicture picture("figure-law", kLawWidth, kLawHeight,
                     data.metric_name + " against " + data.x_name,
                     "One line per method with markers at the measured budgets; the values are in "
                     "the table of results.");
  draw_crossovers(picture, frame, data.input->study);
  draw_axes(picture, frame);
  draw_levels(picture, frame, data, extent);
  picture.open_clipped(frame.left, frame.top, frame.width + 6, frame.height);
  for (const ReportGroup& group : data.groups) {
    draw_group(picture, frame, data, group, extent);
  }
  picture.close_group();
  label_crossovers(picture, frame, data.input->study);
  std::vector<EndLabel> labels;
  for (const ReportGroup& group : data.groups) {
    const auto band = data.input->study.bands.find(group.name);
    SvgPoints line;
    if (band != data.input->study.bands.end()) {
      line = placed(frame, extent, band->second, band->second.middle);
    }
    if (line.empty() && !group.means.empty()) {
      line = {{frame.x(group.means.back().x), frame.y(group.means.back().mean)}};
    }
    if (!line.empty()) {
      labels.push_back(
          {line.back().first, line.back().second, group.name, group.css_class(), group.shape()});
    }
  }
  draw_end_labels(picture, frame.right() + 16, frame.top, frame.bottom(), labels);
  draw_key(picture, frame, data);
  return {picture.finish(), caption(data)};
}

}  // namespace finescale
