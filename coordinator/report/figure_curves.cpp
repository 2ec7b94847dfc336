// SPDX-License-Identifier: Apache-2.0
// Training loss against tokens: one panel per group, a few budgets each, smoothed over the raw.
#include <algorithm>
#include <cmath>

#include "coordinator/report/axes.h"
#include "coordinator/report/figures.h"
#include "coordinator/report/html.h"

namespace finescale {

namespace {

constexpr std::size_t kMaxPanels = 4;
constexpr std::size_t kMaxCurves = 3;    // per panel: smallest, middle and largest budget
constexpr std::size_t kMaxPoints = 400;  // drawn per curve; more than the pixels of a panel
constexpr std::size_t kSmoothing = 40;   // half window = points / this
constexpr double kPanelTop = 49, kCurvesPanelHeight = 250, kCurvesLeft = 74, kCurvesGap = 18;

struct Curve {
  double budget = 0;
  std::vector<double> tokens, raw, smooth;
};
struct Panel {
  const ReportGroup* group = nullptr;
  std::vector<Curve> curves;
};

// Centred moving average whose window shrinks at both ends: no lag, and the first and last points
// stay where they are.
std::vector<double> smoothed(const std::vector<double>& values) {
  const std::size_t half = values.size() / kSmoothing;
  std::vector<double> sums = {0};
  for (const double value : values) {
    sums.push_back(sums.back() + value);
  }
  std::vector<double> out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t reach = std::min({half, i, values.size() - 1 - i});
    out.push_back((sums[i + reach + 1] - sums[i - reach]) / static_cast<double>(2 * reach + 1));
  }
  return out;
}

Curve make_curve(const GroupPoint& point) {
  Curve curve;
  curve.budget = point.x;
  std::vector<double> tokens;
  std::vector<double> raw;
  for (const CurvePoint& step : point.row->curve) {
    if (std::isfinite(step.loss) && step.tokens > 0) {
      tokens.push_back(step.tokens);
      raw.push_back(step.loss);
    }
  }
  const std::vector<double> smooth = smoothed(raw);
  const std::size_t stride = (raw.size() + kMaxPoints - 1) / kMaxPoints;
  for (std::size_t i = 0; i < raw.size(); i += stride) {
    const std::size_t at = i + stride >= raw.size() ? raw.size() - 1 : i;
    curve.tokens.push_back(tokens[at]);
    curve.raw.push_back(raw[at]);
    curve.smooth.push_back(smooth[at]);
  }
  return curve;
}

// The first seed's runs at the smallest, the middle and the largest budget.
Panel make_panel(const ReportGroup& group) {
  std::vector<const GroupPoint*> runs;
  for (const GroupPoint& point : group.points) {
    if (point.row->curve.size() > 1 && (runs.empty() || runs.back()->x != point.x)) {
      runs.push_back(&point);
    }
  }
  Panel panel{&group, {}};
  if (runs.empty()) {
    return panel;
  }
  std::vector<std::size_t> chosen = {0, runs.size() / 2, runs.size() - 1};
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  chosen.resize(std::min(chosen.size(), kMaxCurves));
  for (const std::size_t i : chosen) {
    Curve curve = make_curve(*runs[i]);
    if (curve.tokens.size() > 1) {
      panel.curves.push_back(std::move(curve));
    }
  }
  return panel;
}

void draw_panel(SvgPicture& picture, const PlotFrame& frame, const Panel& panel) {
  picture.open_group(panel.group->css_class());
  picture.marker(frame.left + 7, frame.top - 15, 5, panel.group->shape(), "filled");
  const auto length = static_cast<std::size_t>((frame.width - 18) / kLabelCharacter);
  const std::vector<std::string> lines = wrapped_text(panel.group->name, length, 2);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    picture.text(frame.left + 18, frame.top - 10 - 15 * static_cast<double>(lines.size() - 1 - i),
                 lines[i], "label");
  }
  picture.open_clipped(frame.left, frame.top, frame.width + 2, frame.height);
  const auto line = [&](const Curve& curve, const std::vector<double>& values) {
    SvgPoints points;
    for (std::size_t i = 0; i < values.size(); ++i) {
      points.emplace_back(frame.x(curve.tokens[i]), frame.y(values[i]));
    }
    return points;
  };
  for (const Curve& curve : panel.curves) {
    picture.polyline(line(curve, curve.raw), "raw");
  }
  for (const Curve& curve : panel.curves) {
    picture.polyline(line(curve, curve.smooth), "smooth");
  }
  picture.close_group();
  for (const Curve& curve : panel.curves) {
    picture.marker(frame.x(curve.tokens.back()), frame.y(curve.smooth.back()), 3.2, 0, "filled");
  }
  picture.close_group();
  std::vector<double> taken;
  for (const Curve& curve : panel.curves) {
    const double x = frame.x(curve.tokens.back());
    double y = frame.y(curve.smooth.back()) + 18;
    for (const double other : taken) {
      y = std::abs(other - y) < 15 ? other + 15 : y;
    }
    taken.push_back(y);
    picture.text(std::min(x + 4, frame.right()), std::min(y, frame.bottom() - 6),
                 "D = " + typeset_count(curve.budget), "note halo", TextAnchor::kEnd);
  }
}

}  // namespace

Figure make_curves_figure(const ReportData& data) {
  std::vector<Panel> panels;
  std::vector<double> xs;
  std::vector<double> ys;
  for (const ReportGroup& group : data.groups) {
    Panel panel = make_panel(group);
    if (panel.curves.empty() || panels.size() == kMaxPanels) {
      continue;
    }
    for (const Curve& curve : panel.curves) {
      xs.insert(xs.end(), curve.tokens.begin(), curve.tokens.end());
      ys.insert(ys.end(), curve.raw.begin(), curve.raw.end());
    }
    panels.push_back(std::move(panel));
  }
  if (panels.empty()) {
    return {"", "No training losses were recorded: learning curves cannot be drawn."};
  }
  const double width = 880;
  const double panel_width =
      (width - kCurvesLeft - 16 - kCurvesGap * static_cast<double>(panels.size() - 1)) /
      static_cast<double>(panels.size());
  SvgPicture picture("figure-curves", width, kPanelTop + kCurvesPanelHeight + 58, "Learning curves",
                     "Training loss against tokens, one panel per method, one line per budget.");
  PlotFrame frame;
  frame.x = AxisScale::covering(xs, 0.03);
  frame.y = AxisScale::covering(ys, 0.05);
  frame.x_text = TickText::kPowerOfTen;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    frame.x_title = i == panels.size() / 2 && panels.size() % 2 == 1 ? "tokens trained on" : "";
    frame.y_title = i == 0 ? "training loss (nats per response token)" : "";
    frame.place(kCurvesLeft + static_cast<double>(i) * (panel_width + kCurvesGap), kPanelTop,
                panel_width, kCurvesPanelHeight);
    draw_axes(picture, frame, i == 0);
    draw_panel(picture, frame, panels[i]);
  }
  if (panels.size() % 2 == 0) {
    picture.text(kCurvesLeft + (width - kCurvesLeft - 16) / 2, kPanelTop + kCurvesPanelHeight + 44,
                 "tokens trained on", "axis-title", TextAnchor::kMiddle);
  }
  std::string caption =
      "<b>Learning curves</b>, both axes logarithmic: training loss of each step (faint) and its "
      "moving average, for the smallest, the middle and the largest budget of the first seed.";
  if (panels.size() < data.groups.size()) {
    caption += " Shown for " + std::to_string(panels.size()) + " of " +
               std::to_string(data.groups.size()) + " groups; learning_curves.csv has all.";
  }
  return {picture.finish(), caption};
}

}  // namespace finescale
