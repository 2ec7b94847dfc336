// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/axes.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "coordinator/report/html.h"

namespace finescale {

namespace {

const std::string kNoBreakSpace = "\xC2\xA0";

std::vector<double> multiples_in(double low, double high, const std::vector<double>& mantissas) {
  std::vector<double> values;
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::floor(std::log10(high)));
  for (int decade = first; decade <= last; ++decade) {
    for (const double mantissa : mantissas) {
      const double value = mantissa * std::pow(10.0, decade);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) {
        values.push_back(value);
      }
    }
  }
  return values;
}

// Round steps 1, 2, 5 x 10^k.
std::vector<double> even_values(double low, double high, int max_labels) {
  const double rough = (high - low) / std::max(1, max_labels);
  const double decade = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * decade;
  for (const double mantissa : {1.0, 2.0, 5.0}) {
    if (mantissa * decade >= rough) {
      step = mantissa * decade;
      break;
    }
  }
  std::vector<double> values;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k) {
    values.push_back(k == 0 ? 0 : k * step);
  }
  return values;
}

// Labels for a logarithmic axis: the coarsest set of round numbers with at least five of them.
std::vector<double> log_values(double low, double high, int max_labels) {
  const std::vector<std::vector<double>> sets = {
      {1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  std::vector<double> best;
  for (const std::vector<double>& set : sets) {
    std::vector<double> values = multiples_in(low, high, set);
    if (static_cast<int>(values.size()) > max_labels) {
      break;
    }
    best = std::move(values);
    if (best.size() >= 5) {
      return best;
    }
  }
  if (best.size() < 3 && high / low < 10) {
    return even_values(low, high, std::min(max_labels, 6));
  }
  if (best.empty()) {  // more decades than labels: every n-th
    const std::vector<double> decades = multiples_in(low, high, {1});
    const std::size_t stride =
        decades.size() / static_cast<std::size_t>(std::max(1, max_labels)) + 1;
    for (std::size_t i = 0; i < decades.size(); i += stride) {
      best.push_back(decades[i]);
    }
  }
  return best;
}

std::string tick_label(double value, TickText style) {
  std::string label = typeset_number(value, style == TickText::kPowerOfTen ? 2 : 4);
  for (std::size_t at = 0; (at = label.find(kNoBreakSpace, at)) != std::string::npos;) {
    label.erase(at, kNoBreakSpace.size());  // 3x10^12: room is short along an axis
  }
  return label;
}

}  // namespace

AxisScale AxisScale::covering(const std::vector<double>& values, double air, bool linear) {
  AxisScale scale;
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](double value) { return std::isfinite(value); });
  if (finite.empty()) {
    return scale;
  }
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
  scale.is_log_ = !linear && *low > 0;
  if (scale.is_log_) {
    const double span = std::max(std::log(*high / *low), 0.05);  // one value: +-5% and air
    const double extra = (span - std::log(*high / *low)) / 2 + air * span;
    scale.low_ = *low * std::exp(-extra);
    scale.high_ = *high * std::exp(extra);
  } else {
    const double span = std::max({*high - *low, 1e-3 * std::abs(*high), 1e-12});
    const double extra = (span - (*high - *low)) / 2 + air * span;
    scale.low_ = *low - extra;
    scale.high_ = *high + extra;
  }
  return scale;
}

void AxisScale::set_range(double at_low, double at_high) noexcept {
  at_low_ = at_low;
  at_high_ = at_high;
}

double AxisScale::operator()(double value) const {
  const double part = is_log_
                          ? std::log(std::max(value, low_ * 1e-6) / low_) / std::log(high_ / low_)
                          : (value - low_) / (high_ - low_);
  // Far outside is as good as infinitely far outside, and keeps the numbers in the page short.
  return at_low_ + std::clamp(part, -9.0, 10.0) * (at_high_ - at_low_);
}

std::vector<AxisTick> AxisScale::ticks(int max_labels, TickText style) const {
  const std::vector<double> labelled =
      is_log_ ? log_values(low_, high_, max_labels) : even_values(low_, high_, max_labels);
  std::vector<AxisTick> ticks;
  ticks.reserve(labelled.size());
  for (const double value : labelled) {
    ticks.push_back({value, tick_label(value, style)});
  }
  if (is_log_ && high_ / low_ < 1e5) {
    for (const double value : multiples_in(low_, high_, {1, 2, 3, 4, 5, 6, 7, 8, 9})) {
      const bool taken = std::any_of(labelled.begin(), labelled.end(), [&](double other) {
        return std::abs(other - value) < 1e-6 * value;
      });
      if (!taken) {
        ticks.push_back({value, ""});
      }
    }
  }
  return ticks;
}

void PlotFrame::place(double at_left, double at_top, double new_width, double new_height) {
  left = at_left;
  top = at_top;
  width = new_width;
  height = new_height;
  x.set_range(left, right());
  y.set_range(bottom(), top);
}

void draw_axes(SvgPicture& picture, const PlotFrame& frame, bool with_y_labels) {
  const double pixels_per_label = frame.x_text == TickText::kPowerOfTen ? 70 : 52;
  picture.open_group("axis");
  for (const AxisTick& tick :
       frame.x.ticks(std::max(2, static_cast<int>(frame.width / pixels_per_label)), frame.x_text)) {
    const double x = frame.x(tick.value);
    if (!tick.label.empty()) {
      picture.line(x, frame.top, x, frame.bottom(), "grid");
      picture.text(x, frame.bottom() + 20, tick.label, "tick", TextAnchor::kMiddle);
    }
    picture.line(x, frame.bottom(), x, frame.bottom() + (tick.label.empty() ? 3 : 6), "rule");
  }
  for (const AxisTick& tick :
       frame.y.ticks(std::max(2, static_cast<int>(frame.height / 34)), TickText::kNumber)) {
    const double y = frame.y(tick.value);
    if (!tick.label.empty()) {
      picture.line(frame.left, y, frame.right(), y, "grid");
      if (with_y_labels) {
        picture.text(frame.left - 10, y + 4.5, tick.label, "tick", TextAnchor::kEnd);
      }
    }
    picture.line(frame.left - (tick.label.empty() ? 3 : 6), y, frame.left, y, "rule");
  }
  picture.line(frame.left, frame.bottom(), frame.right(), frame.bottom(), "rule");
  picture.line(frame.left, frame.top, frame.left, frame.bottom(), "rule");
  if (!frame.x_title.empty()) {
    picture.text(frame.left + frame.width / 2, frame.bottom() + 44, frame.x_title, "axis-title",
                 TextAnchor::kMiddle);
  }
  if (!frame.y_title.empty()) {
    picture.vertical_text(frame.left - 54, frame.top + frame.height / 2, frame.y_title,
                          "axis-title");
  }
  picture.close_group();
}

namespace {

constexpr double kLabelLine = 15;         // of the 14-unit labels
constexpr std::size_t kLabelLength = 22;  // characters of a line

double label_height(const std::vector<std::string>& lines) {
  return kLabelLine * static_cast<double>(lines.size()) + 3;
}

// As many lines for each as fit into the height together.
std::vector<std::vector<std::string>> label_lines(const std::vector<EndLabel>& labels,
                                                  double height) {
  std::vector<std::vector<std::string>> lines;
  for (std::size_t most = 4; most > 0; --most) {
    lines.clear();
    double needed = 0;
    for (const EndLabel& label : labels) {
      lines.push_back(wrapped_text(label.text, kLabelLength, most));
      needed += label_height(lines.back());
    }
    if (needed <= height) {
      break;
    }
  }
  return lines;
}

// Middles of the labels: each where it is wanted, or beside its neighbours.
std::vector<double> label_places(const std::vector<EndLabel>& labels,
                                 const std::vector<std::vector<std::string>>& lines, double top,
                                 double bottom) {
  std::vector<double> place;
  std::vector<double> reach;  // above and below the middle
  for (std::size_t i = 0; i < labels.size(); ++i) {
    reach.push_back(label_height(lines[i]) / 2);
    const double wanted = std::clamp(labels[i].y, top, bottom);
    place.push_back(i == 0 ? std::max(wanted, top + reach[i] - kLabelLine / 2)
                           : std::max(wanted, place[i - 1] + reach[i - 1] + reach[i]));
  }
  // What was pushed below the frame pushes back up.
  for (std::size_t i = place.size(); i-- > 0;) {
    const double limit = i + 1 == place.size() ? bottom - reach[i] + kLabelLine / 2 + 1.5
                                               : place[i + 1] - reach[i + 1] - reach[i];
    place[i] = std::min(place[i], limit);
  }
  return place;
}

}  // namespace

void draw_end_labels(SvgPicture& picture, double x, double top, double bottom,
                     std::vector<EndLabel> labels) {
  std::stable_sort(labels.begin(), labels.end(),
                   [](const EndLabel& a, const EndLabel& b) { return a.y < b.y; });
  const auto lines = label_lines(labels, bottom - top + kLabelLine);
  const std::vector<double> place = label_places(labels, lines, top, bottom);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const EndLabel& label = labels[i];
    picture.open_group(label.css_class);
    picture.polyline({{label.x + 6, std::clamp(label.y, top, bottom)}, {x - 3, place[i]}},
                     "leader");
    double text_x = x;
    if (label.shape >= -1) {
      picture.marker(x + 6, place[i], 4.5, label.shape, "filled");
      text_x += 16;
    }
    double y = place[i] + 4.5 - kLabelLine * static_cast<double>(lines[i].size() - 1) / 2;
    for (const std::string& line : lines[i]) {
      picture.text(text_x, y, line, "label");
      y += kLabelLine;
    }
    picture.close_group();
  }
}

}  // namespace finescale
