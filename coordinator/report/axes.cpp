// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/axes.h"

#include <algorithm>
#include <cmath>

namespace finescale {

Scale::Scale(double from, double to, bool logarithmic, double pixel_from, double pixel_to)
    : from_(from), to_(to), pixel_from_(pixel_from), pixel_to_(pixel_to), logarithmic_(logarithmic && from > 0) {
  if (logarithmic_) {
    const double margin = std::pow(std::max(to / from, 1.2), 0.05);
    from_ = from / margin;
    to_ = to * margin;
  } else {
    const double margin = 0.05 * std::max(to - from, std::abs(to) * 0.01 + 1e-9);
    from_ = from >= 0 && from - margin < 0 ? 0 : from - margin;
    to_ = to + margin;
  }
}

double Scale::operator()(double value) const {
  const double t = logarithmic_ ? std::log(value / from_) / std::log(to_ / from_) : (value - from_) / (to_ - from_);
  return pixel_from_ + t * (pixel_to_ - pixel_from_);
}

std::vector<double> Scale::ticks(int about) const {
  std::vector<double> out;
  if (logarithmic_) {
    // The finest of these sets of mantissas that does not crowd the axis.
    const std::vector<std::vector<double>> choices = {{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8}, {1, 1.5, 2, 3, 4, 5, 7}, {1, 2, 3, 5, 7}, {1, 2, 5}, {1, 3}, {1}};
    for (const auto& mantissas : choices) {
      out.clear();
      for (int power = static_cast<int>(std::floor(std::log10(from_))); power <= static_cast<int>(std::ceil(std::log10(to_))); ++power) {
        for (const double m : mantissas) {
          const double value = m * std::pow(10, power);
          if (value >= from_ && value <= to_) {
            out.push_back(value);
          }
        }
      }
      if (static_cast<int>(out.size()) <= about) {
        break;
      }
    }
    return out;
  }
  const double raw = (to_ - from_) / about;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double m : {1.0, 2.0, 5.0}) {
    if (m * power >= raw) {
      step = m * power;
      break;
    }
  }
  for (double value = std::ceil(from_ / step) * step; value <= to_ + 1e-9 * step; value += step) {
    out.push_back(std::abs(value) < 1e-12 * step ? 0 : value);
  }
  return out;
}

namespace {

std::string tick_label(double value) {
  return std::abs(value) >= 1e4 ? with_unit(value) : significant(value, 4);
}

}  // namespace

void draw_axes(Svg& svg, const Frame& f, const Scale& x, const Scale& y, const std::string& x_title, const std::string& y_title) {
  for (const double tick : x.ticks(9)) {
    svg.line(x(tick), f.top, x(tick), f.bottom, "grid");
    svg.text(x(tick), f.bottom + 17, tick_label(tick), "middle", "tick");
  }
  for (const double tick : y.ticks(8)) {
    svg.line(f.left, y(tick), f.right, y(tick), "grid");
    svg.text(f.left - 7, y(tick) + 4, tick_label(tick), "end", "tick");
  }
  svg.line(f.left, f.bottom, f.right, f.bottom, "axis");
  svg.line(f.left, f.top, f.left, f.bottom, "axis");
  svg.text((f.left + f.right) / 2, f.bottom + 38, x_title, "middle", "axis-title");
  svg.text(15, (f.top + f.bottom) / 2, y_title, "middle", "axis-title", -90);
}

}  // namespace finescale
