// SPDX-License-Identifier: Apache-2.0
// A small layer over inline SVG: elements as text, escaped, with fixed decimals. Colours come from CSS classes, so that one
// picture serves light, dark and print.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace finescale {

[[nodiscard]] std::string escape_html(const std::string& text);
[[nodiscard]] std::string fixed(double value, int decimals = 1);       // 12.3
[[nodiscard]] std::string significant(double value, int digits = 3);   // 0.00123, 12.3, 1.2e+09
[[nodiscard]] std::string with_unit(double value);                     // 1.2 k, 3.4 M, 5.6 G

using Polyline = std::vector<std::pair<double, double>>;

class Svg {
 public:
  Svg(int width, int height, const std::string& title, const std::string& description);
  void line(double x1, double y1, double x2, double y2, const std::string& css);
  void path(const Polyline& points, const std::string& css);
  void polygon(const Polyline& points, const std::string& css);
  void rect(double x, double y, double width, double height, const std::string& css);
  // anchor: start | middle | end
  void text(double x, double y, const std::string& words, const std::string& anchor, const std::string& css, double rotate = 0);
  // shape 0.. : circle, square, triangle, diamond, cross. A short tooltip for pointers.
  void marker(int shape, double x, double y, double size, const std::string& css, const std::string& tip = "");
  [[nodiscard]] std::string finish() const;

 private:
  std::string body_;
};

}  // namespace finescale
