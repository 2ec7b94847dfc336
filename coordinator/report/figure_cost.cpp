// SPDX-License-Identifier: Apache-2.0
// What a loss costs: training FLOPs and seconds of a trial, with the efficient frontier.
#include <algorithm>
#include <cmath>
#include <set>

#include "coordinator/report/axes.h"
#include "coordinator/report/figures.h"
#include "coordinator/report/html.h"

namespace finescale {

namespace {

constexpr double kLegendRow = 20, kCostPanelHeight = 300, kCostLeft = 74, kCostGap = 30,
                 kCostWidth = 880;

struct CostPoint {
  const ReportGroup* group = nullptr;
  double budget = 0, cost = 0, loss = 0;
};
using CostOf = double (*)(const BudgetMean&);

std::vector<CostPoint> cost_points(const ReportData& data, CostOf cost_of) {
  std::vector<CostPoint> points;
  for (const ReportGroup& group : data.groups) {
    for (const BudgetMean& mean : group.means) {
      const double cost = cost_of(mean);
      if (cost > 0 && std::isfinite(cost)) {
        points.push_back({&group, mean.x, cost, mean.mean});
      }
    }
  }
  return points;
}

// Points that nothing else beats in both cost and loss, by cost.
std::vector<CostPoint> efficient(std::vector<CostPoint> points) {
  std::sort(points.begin(), points.end(), [](const CostPoint& a, const CostPoint& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.loss < b.loss;
  });
  std::vector<CostPoint> frontier;
  for (const CostPoint& point : points) {
    if (frontier.empty() || point.loss < frontier.back().loss) {
      frontier.push_back(point);
    }
  }
  return frontier;
}

void draw_frontier(SvgPicture& picture, const PlotFrame& frame,
                   const std::vector<CostPoint>& frontier) {
  SvgPoints steps;  // a loss once reached stays reached at any higher cost
  for (const CostPoint& point : frontier) {
    if (!steps.empty()) {
      steps.emplace_back(frame.x(point.cost), steps.back().second);
    }
    steps.emplace_back(frame.x(point.cost), frame.y(point.loss));
  }
  if (!steps.empty()) {
    steps.emplace_back(frame.right(), steps.back().second);
  }
  picture.polyline(steps, "frontier");
}

void draw_panel(SvgPicture& picture, const PlotFrame& frame, const ReportData& data,
                const std::vector<CostPoint>& points) {
  const std::vector<CostPoint> frontier = efficient(points);
  picture.open_clipped(frame.left, frame.top, frame.width, frame.height);
  draw_frontier(picture, frame, frontier);
  picture.close_group();
  for (const ReportGroup& group : data.groups) {
    picture.open_group(group.css_class());
    SvgPoints line;
    for (const CostPoint& point : points) {
      if (point.group == &group) {
        line.emplace_back(frame.x(point.cost), frame.y(point.loss));
      }
    }
    picture.polyline(line, "thin dashed");
    for (const CostPoint& point : points) {
      const bool on = std::any_of(frontier.begin(), frontier.end(), [&](const CostPoint& other) {
        return other.group == point.group && other.budget == point.budget;
      });
      if (point.group == &group) {
        picture.marker(frame.x(point.cost), frame.y(point.loss), on ? 5.5 : 4.5, group.shape(),
                       on ? "filled" : "hollow",
                       group.name + ", D = " + typeset_count(point.budget) + ": " +
                           typeset_number(point.loss, 4) + " for " + typeset_number(point.cost, 3));
      }
    }
    picture.close_group();
  }
  double last_x = -1e9;
  for (const CostPoint& point : frontier) {  // budgets of the frontier, where there is room
    const double x = frame.x(point.cost);
    if (x - last_x > 46) {
      const bool at_edge = x - frame.left < 50;
      picture.text(at_edge ? x + 9 : x - 6, frame.y(point.loss) + (at_edge ? 4.5 : 18),
                   typeset_count(point.budget), "note halo",
                   at_edge ? TextAnchor::kStart : TextAnchor::kEnd);
      last_x = x;
    }
  }
}

struct LegendEntry {
  const ReportGroup* group;  // null: the frontier
  std::string name;
  double x, y;
};

// In rows from the top on; a name is cut where it alone is wider than the picture.
std::vector<LegendEntry> make_legend(const ReportData& data) {
  std::vector<LegendEntry> entries;
  double x = kCostLeft;
  double y = 17;
  const auto add = [&](const ReportGroup* group, const std::string& name) {
    const double width = 30 + kLabelCharacter * static_cast<double>(name.size());
    if (x > kCostLeft && x + width > kCostWidth) {
      x = kCostLeft;
      y += kLegendRow;
    }
    entries.push_back({group, name, x, y});
    x += width;
  };
  for (const ReportGroup& group : data.groups) {
    if (!group.means.empty()) {
      add(&group, shortened_text(group.name, 90));
    }
  }
  add(nullptr, "efficient frontier");
  return entries;
}

void draw_legend(SvgPicture& picture, const std::vector<LegendEntry>& entries) {
  for (const auto& [group, name, x, y] : entries) {
    if (group == nullptr) {
      picture.polyline({{x, y}, {x + 22, y}}, "frontier");
      picture.text(x + 28, y + 4.5, name, "note");
      continue;
    }
    picture.open_group(group->css_class());
    picture.marker(x + 6, y, 5, group->shape(), "filled");
    picture.text(x + 17, y + 4.5, name, "label");
    picture.close_group();
  }
}

// "full at 100, 400; lora rank 8 at 1,600".
std::string frontier_text(const ReportData& data, const std::vector<CostPoint>& frontier) {
  std::string out;
  for (const ReportGroup& group : data.groups) {
    std::vector<std::string> budgets;
    for (const CostPoint& point : frontier) {
      if (point.group == &group) {
        budgets.push_back(typeset_count(point.budget));
      }
    }
    if (!budgets.empty()) {
      out += (out.empty() ? "" : "; ") + ("<b>" + html_escape(group.name)) +
             "</b> at D = " + joined_names(budgets);
    }
  }
  return out;
}

}  // namespace

Figure make_cost_figure(const ReportData& data) {
  struct Panel {
    const char* title;
    const char* name;
    CostOf cost;
    TickText ticks;
  };
  const std::vector<Panel> all = {
      {"training FLOPs of one trial", "training FLOPs",
       [](const BudgetMean& mean) { return mean.train_flops; }, TickText::kPowerOfTen},
      {"seconds of one trial", "seconds", [](const BudgetMean& mean) { return mean.seconds; },
       TickText::kNumber}};
  std::vector<std::pair<const Panel*, std::vector<CostPoint>>> panels;
  std::vector<double> ys;
  for (const Panel& panel : all) {
    std::vector<CostPoint> points = cost_points(data, panel.cost);
    if (!points.empty()) {
      for (const CostPoint& point : points) {
        ys.push_back(point.loss);
      }
      panels.emplace_back(&panel, std::move(points));
    }
  }
  if (panels.empty()) {
    return {"", "No costs were recorded for finished trials: loss cannot be drawn against cost."};
  }
  const std::vector<LegendEntry> legend = make_legend(data);
  const double top = legend.back().y + 23;
  SvgPicture picture("figure-cost", kCostWidth, top + kCostPanelHeight + 58,
                     data.metric_name + " against cost",
                     "One marker per method and budget; the efficient frontier joins those that no "
                     "other beats in both cost and loss.");
  draw_legend(picture, legend);
  const double width =
      (kCostWidth - kCostLeft - 20 - kCostGap * static_cast<double>(panels.size() - 1)) /
      static_cast<double>(panels.size());
  std::string caption = "<b>" + html_escape(capitalised(data.metric_name)) +
                        " against cost</b>, both axes logarithmic; means over seeds. Filled marks "
                        "lie on the efficient frontier: nothing measured was both cheaper and "
                        "better. Numbers beside it are data budgets.";
  for (std::size_t i = 0; i < panels.size(); ++i) {
    PlotFrame frame;
    std::vector<double> xs;
    for (const CostPoint& point : panels[i].second) {
      xs.push_back(point.cost);
    }
    frame.x = AxisScale::covering(xs, 0.06);
    frame.y = AxisScale::covering(ys, 0.08);
    frame.x_title = panels[i].first->title;
    frame.y_title = i == 0 ? data.metric_title : "";
    frame.x_text = panels[i].first->ticks;
    frame.place(kCostLeft + static_cast<double>(i) * (width + kCostGap), top, width,
                kCostPanelHeight);
    draw_axes(picture, frame, i == 0);
    draw_panel(picture, frame, data, panels[i].second);
    caption += std::string(" On the frontier in ") + panels[i].first->name + ": " +
               frontier_text(data, efficient(panels[i].second)) + ".";
  }
  return {picture.finish(), caption};
}

}  // namespace finescale
