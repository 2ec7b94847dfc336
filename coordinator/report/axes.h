// SPDX-License-Identifier: Apache-2.0
// The frame of a picture: two axes, linear or logarithmic, with ticks a reader would choose.
#pragma once

#include <string>
#include <vector>

#include "coordinator/report/svg.h"

namespace finescale {

class Scale {
 public:
  // from < to; widened to hold every value with a small margin.
  Scale(double from, double to, bool logarithmic, double pixel_from, double pixel_to);
  [[nodiscard]] double operator()(double value) const;
  [[nodiscard]] std::vector<double> ticks(int about) const;
  [[nodiscard]] bool logarithmic() const noexcept { return logarithmic_; }
  [[nodiscard]] double from() const noexcept { return from_; }
  [[nodiscard]] double to() const noexcept { return to_; }

 private:
  double from_, to_, pixel_from_, pixel_to_;
  bool logarithmic_;
};

struct Frame {
  double left = 62, right = 700, top = 18, bottom = 348;
};

void draw_axes(Svg& svg, const Frame& frame, const Scale& x, const Scale& y, const std::string& x_title, const std::string& y_title);

}  // namespace finescale
