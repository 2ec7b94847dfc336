// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/figures.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "coordinator/report/axes.h"

namespace finescale {

namespace {

std::string plain(const std::string& value) {  // {lora: {rank: 8}} -> lora rank 8
  std::string out;
  for (const char c : value) {
    const bool space = c == '{' || c == '}' || c == ':' || c == '"' || c == ' ';
    if (!space) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') {
    out.pop_back();
  }
  return out;
}

int index_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::string series(int index) { return "s" + std::to_string(index % 7); }

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  [[nodiscard]] bool empty() const { return !(low <= high); }
};

std::string figure(const std::string& svg, const std::string& caption) {
  return "<figure>\n" + svg + "<figcaption>" + caption + "</figcaption>\n</figure>\n";
}

// Legend entries in the upper right corner: marker, dash and word, so that colour is never alone.
void legend(Svg& svg, const Frame& f, const std::vector<std::string>& names) {
  double y = f.top + 14;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double x = f.right - 150;
    svg.line(x - 22, y - 4, x + 2, y - 4, "law " + series(static_cast<int>(i)));
    svg.marker(static_cast<int>(i), x - 10, y - 4, 4, "dot " + series(static_cast<int>(i)));
    svg.text(x + 8, y, names[i], "start", "label");
    y += 17;
  }
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

void draw_bands(Svg& svg, const ReportInput& input, const std::vector<std::string>& groups, const Scale& x, const Scale& y) {
  for (const auto& [group, band] : input.study.bands) {
    Polyline outline;
    Polyline middle;
    for (std::size_t i = 0; i < band.D.size(); ++i) {
      if (band.D[i] < x.from() || band.D[i] > x.to() || !std::isfinite(band.high[i]) || !(band.low[i] > 0)) {
        continue;
      }
      outline.emplace_back(x(band.D[i]), y(std::clamp(band.high[i], y.from(), y.to())));
      middle.emplace_back(x(band.D[i]), y(std::clamp(band.middle[i], y.from(), y.to())));
    }
    for (std::size_t i = band.D.size(); i > 0; --i) {
      if (band.D[i - 1] >= x.from() && band.D[i - 1] <= x.to() && std::isfinite(band.high[i - 1]) && band.low[i - 1] > 0) {
        outline.emplace_back(x(band.D[i - 1]), y(std::clamp(band.low[i - 1], y.from(), y.to())));
      }
    }
    const std::string color = series(index_of(groups, group));
    svg.polygon(outline, "band " + color);
    svg.path(middle, "law " + color);
  }
}

}  // namespace

std::vector<Dot> dots_of(const ReportInput& input) {
  std::vector<Dot> dots;
  for (const TrialRow& row : input.rows) {
    const auto metric = row.metrics.find(input.metric);
    if (row.is_tuning || row.state != "done" || metric == row.metrics.end()) {
      continue;
    }
    Dot dot;
    dot.row = &row;
    dot.loss = metric->second;
    for (const auto& [path, value] : row.axes) {
      if (path == input.x || path.ends_with("." + input.x)) {
        dot.x = std::stod(value);
      } else if (path != "seed") {
        dot.group += (dot.group.empty() ? "" : ", ") + plain(value);
      }
    }
    if (dot.group.empty()) {
      dot.group = "all";
    }
    if (dot.x > 0 && std::isfinite(dot.loss)) {
      dots.push_back(std::move(dot));
    }
  }
  return dots;
}

std::vector<std::string> groups_of(const std::vector<Dot>& dots) {
  std::vector<std::string> names;
  for (const Dot& dot : dots) {
    if (std::find(names.begin(), names.end(), dot.group) == names.end()) {
      names.push_back(dot.group);
    }
  }
  return names;
}

std::string budget_figure(const ReportInput& input) {
  const std::vector<Dot> dots = dots_of(input);
  if (dots.empty()) {
    return "";
  }
  const std::vector<std::string> groups = groups_of(dots);
  Range xs;
  Range ys;
  for (const Dot& dot : dots) {
    xs.add(dot.x);
    ys.add(dot.loss);
  }
  if (!input.study.bands.empty()) {
    xs.add(2 * xs.high);  // the law is drawn one doubling beyond the data
    for (const auto& [group, band] : input.study.bands) {
      for (std::size_t i = 0; i < band.D.size(); ++i) {
        if (band.D[i] <= xs.high && band.middle[i] > 0) {
          ys.add(band.middle[i]);
        }
      }
    }
  }
  const Frame f;
  const Scale x(xs.low, xs.high, true, f.left, f.right);
  const Scale y(ys.low, ys.high, ys.low > 0, f.bottom, f.top);
  Svg svg(720, 400, "Loss against data budget", "One curve per method with its fitted law, interval band and measured points.");
  draw_axes(svg, f, x, y, "data budget, examples (log)", input.metric + ", nats per token" + (y.logarithmic() ? " (log)" : ""));
  draw_bands(svg, input, groups, x, y);
  for (const Crossover& crossover : input.study.crossovers) {
    if (crossover.at < x.from() || crossover.at > x.to()) {
      continue;
    }
    const double low = std::max(crossover.interval.low, x.from());
    const double high = std::min(crossover.interval.high, x.to());
    svg.rect(x(low), f.top, std::max(0.0, x(high) - x(low)), f.bottom - f.top, "cross-band");
    svg.line(x(crossover.at), f.top, x(crossover.at), f.bottom, "cross");
    svg.text(x(crossover.at) + 5, f.bottom - 8, "crossover " + significant(crossover.at, 2), "start", "label");
  }
  std::map<std::pair<std::string, double>, std::vector<double>> cells;
  for (const Dot& dot : dots) {
    cells[{dot.group, dot.x}].push_back(dot.loss);
    const int g = index_of(groups, dot.group);
    svg.marker(g, x(dot.x), y(dot.loss), 2.2, "seed " + series(g), dot.row->trial + ": " + significant(dot.loss, 5));
  }
  for (const auto& [cell, values] : cells) {
    const int g = index_of(groups, cell.first);
    svg.marker(g, x(cell.second), y(mean(values)), 4.4, "dot " + series(g), cell.first + ", " + significant(cell.second) + ": mean " + significant(mean(values), 5));
  }
  for (const auto& [group, points] : input.study.held_out) {
    const int g = index_of(groups, group);
    for (const HeldOut& point : points) {
      if (point.predicted > y.from() && point.predicted < y.to()) {
        svg.marker(g, x(point.D), y(point.predicted), 6.5, "held " + series(g), group + ": predicted without this budget " + significant(point.predicted, 4));
      }
    }
  }
  legend(svg, f, groups);
  std::string caption = "<b>Figure 1.</b> " + escape_html(input.metric) + " against data budget. Small marks: single runs (seeds); large: their mean.";
  if (!input.study.bands.empty()) {
    caption += " Lines: the fitted law of each method, shaded: " + fixed(100 * input.study.options.level, 0) +
               "% interval, drawn one doubling beyond the data. Large hollow marks: the law's prediction of a budget from the smaller ones alone.";
  }
  if (!input.study.crossovers.empty()) {
    caption += " Vertical line and shade: where the methods change places, with its interval.";
  }
  return figure(svg.finish(), caption);
}

std::string curves_figure(const ReportInput& input) {
  std::vector<Dot> dots = dots_of(input);
  std::erase_if(dots, [](const Dot& dot) { return dot.row->curve.size() < 4; });
  if (dots.empty()) {
    return "";
  }
  const std::vector<std::string> groups = groups_of(dots);
  // The largest budgets of each method, one seed: at most twelve curves in all.
  std::sort(dots.begin(), dots.end(), [](const Dot& a, const Dot& b) { return a.x > b.x; });
  const std::size_t per_group = std::max<std::size_t>(1, std::min<std::size_t>(4, 12 / groups.size()));
  std::map<std::string, std::set<double>> taken;
  std::vector<Dot> shown;
  for (const Dot& dot : dots) {
    if (taken[dot.group].size() < per_group && taken[dot.group].insert(dot.x).second) {
      shown.push_back(dot);
    }
  }
  Range xs;
  Range ys;
  std::vector<Polyline> smooth(shown.size());
  for (std::size_t i = 0; i < shown.size(); ++i) {
    double average = 0;
    double weight = 0;
    const auto& curve = shown[i].row->curve;
    const double keep = 1 - 1 / std::max(3.0, static_cast<double>(curve.size()) / 30);
    for (const CurvePoint& point : curve) {  // exponential mean, without the bias of its start
      average = keep * average + (1 - keep) * point.loss;
      weight = keep * weight + (1 - keep);
      smooth[i].emplace_back(point.tokens, average / weight);
      xs.add(point.tokens);
      ys.add(average / weight);
    }
  }
  const Frame f;
  const Scale x(xs.low, xs.high, true, f.left, f.right);
  const Scale y(ys.low, ys.high, false, f.bottom, f.top);
  Svg svg(720, 400, "Learning curves", "Training loss against tokens seen, smoothed.");
  draw_axes(svg, f, x, y, "training tokens (log)", "training loss, nats per token");
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const int g = index_of(groups, shown[i].group);
    Polyline line;
    for (const auto& [tokens, loss] : smooth[i]) {
      line.emplace_back(x(tokens), y(loss));
    }
    svg.path(line, "curve " + series(g));
    svg.marker(g, line.back().first, line.back().second, 3, "dot " + series(g), shown[i].row->trial);
    svg.text(line.back().first, line.back().second - 7, significant(shown[i].x), "end", "small");
  }
  legend(svg, f, groups);
  return figure(svg.finish(), "<b>Figure 2.</b> Learning curves of the largest budgets, one seed each: training loss of each update, exponentially "
                              "averaged, against tokens seen. The number at the end of a curve is its data budget.");
}

namespace {

std::string cost_panel(const std::vector<Dot>& dots, const std::vector<std::string>& groups, const std::string& metric, bool flops) {
  Range xs;
  Range ys;
  const auto cost = [&](const Dot& dot) { return flops ? dot.row->train_flops : dot.row->seconds; };
  for (const Dot& dot : dots) {
    if (cost(dot) > 0) {
      xs.add(cost(dot));
      ys.add(dot.loss);
    }
  }
  if (xs.empty()) {
    return "";
  }
  Frame f;
  f.right = 352;
  f.bottom = 300;
  const Scale x(xs.low, xs.high, true, f.left, f.right);
  const Scale y(ys.low, ys.high, ys.low > 0, f.bottom, f.top);
  Svg svg(360, 350, flops ? "Training FLOPs against loss" : "Seconds against loss", "Each run as a point; the line joins runs that no cheaper run beats.");
  for (const double tick : x.ticks(4)) {
    svg.line(x(tick), f.top, x(tick), f.bottom, "grid");
    svg.text(x(tick), f.bottom + 17, with_unit(tick), "middle", "tick");
  }
  for (const double tick : y.ticks(7)) {
    svg.line(f.left, y(tick), f.right, y(tick), "grid");
    svg.text(f.left - 7, y(tick) + 4, significant(tick), "end", "tick");
  }
  svg.line(f.left, f.bottom, f.right, f.bottom, "axis");
  svg.line(f.left, f.top, f.left, f.bottom, "axis");
  svg.text((f.left + f.right) / 2, f.bottom + 38, flops ? "training FLOPs of the run (log)" : "seconds of the run on its gang (log)", "middle", "axis-title");
  svg.text(15, (f.top + f.bottom) / 2, metric, "middle", "axis-title", -90);
  std::vector<Dot> sorted = dots;
  std::sort(sorted.begin(), sorted.end(), [&](const Dot& a, const Dot& b) { return cost(a) < cost(b); });
  Polyline frontier;
  double best = INFINITY;
  for (const Dot& dot : sorted) {
    if (cost(dot) > 0 && dot.loss < best) {
      if (!frontier.empty()) {
        frontier.emplace_back(x(cost(dot)), frontier.back().second);
      }
      best = dot.loss;
      frontier.emplace_back(x(cost(dot)), y(best));
    }
  }
  svg.path(frontier, "frontier");
  for (const Dot& dot : sorted) {
    if (cost(dot) > 0) {
      const int g = index_of(groups, dot.group);
      svg.marker(g, x(cost(dot)), y(dot.loss), 3, "dot " + series(g), dot.row->trial);
    }
  }
  return svg.finish();
}

}  // namespace

std::string cost_figure(const ReportInput& input) {
  const std::vector<Dot> dots = dots_of(input);
  const std::vector<std::string> groups = groups_of(dots);
  const std::string left = cost_panel(dots, groups, input.metric, true);
  const std::string right = cost_panel(dots, groups, input.metric, false);
  if (left.empty() && right.empty()) {
    return "";
  }
  return figure("<div class=\"pair\">" + left + right + "</div>",
                "<b>Figure 3.</b> What a run costs against what it reaches; left in useful FLOPs, right in seconds. The stepped line is the efficient "
                "frontier: no cheaper run is better. Marks and colours as in figure 1.");
}

std::string tuning_figure(const ReportInput& input) {
  std::map<std::string, Polyline> groups;
  std::string field;
  Range xs;
  Range ys;
  for (const TrialRow& row : input.rows) {
    const auto metric = row.metrics.find(input.metric);
    if (!row.is_tuning || row.tuned.empty() || metric == row.metrics.end()) {
      continue;
    }
    std::string group;
    for (const auto& [path, value] : row.axes) {
      if (path != "seed" && path != input.x && !path.ends_with("." + input.x)) {
        group += (group.empty() ? "" : ", ") + plain(value);
      }
    }
    field = row.tuned.begin()->first;
    const double value = std::stod(row.tuned.begin()->second);
    groups[group].emplace_back(value, metric->second);
    xs.add(value);
    ys.add(metric->second);
  }
  if (xs.empty()) {
    return "";
  }
  const std::vector<std::string> order = groups_of(dots_of(input));
  const Frame f;
  const Scale x(xs.low, xs.high, true, f.left, f.right);
  const Scale y(ys.low, ys.high, false, f.bottom, f.top);
  Svg svg(720, 400, "Tuning", "Loss against the tuned value, per group.");
  draw_axes(svg, f, x, y, field + " (log)", input.metric);
  for (auto& [group, points] : groups) {
    std::sort(points.begin(), points.end());
    const int g = index_of(order, group);
    Polyline line;
    for (const auto& [value, loss] : points) {
      line.emplace_back(x(value), y(loss));
      svg.marker(g, x(value), y(loss), 4, "dot " + series(g), significant(value) + ": " + significant(loss, 5));
    }
    svg.path(line, "curve " + series(g));
    const auto best = std::min_element(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    svg.marker(g, x(best->first), y(best->second), 7.5, "held " + series(g), "chosen");
  }
  legend(svg, f, order);
  return figure(svg.finish(), "<b>Figure 4.</b> Equal tuning before the sweep: every method got the same number of trials. The ringed value was used in all "
                              "its runs. A ring at the edge says that the best may lie outside of what was tried.");
}

}  // namespace finescale
