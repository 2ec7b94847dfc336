// SPDX-License-Identifier: Apache-2.0
// Scales, ticks and the frame of a plot.
#pragma once

#include <string>
#include <vector>

#include "coordinator/report/svg.h"

namespace finescale {

enum class TickText { kNumber, kPowerOfTen };
struct AxisTick {
  double value = 0;
  std::string label;  // empty: a minor tick
};

// Maps [low, high] onto drawing units, linearly or by logarithm (both bounds above 0).
class AxisScale {
 public:
  // Covers the values with some air; logarithmic unless a value is not above 0 or `linear`.
  [[nodiscard]] static AxisScale covering(const std::vector<double>& values, double air = 0.05,
                                          bool linear = false);

  void set_range(double at_low, double at_high) noexcept;
  [[nodiscard]] double operator()(double value) const;
  [[nodiscard]] double low() const noexcept { return low_; }
  [[nodiscard]] double high() const noexcept { return high_; }
  [[nodiscard]] bool is_log() const noexcept { return is_log_; }
  [[nodiscard]] bool contains(double value) const { return value >= low_ && value <= high_; }
  // Labelled ticks at round numbers, at most `max_labels`, and minor ones between them.
  [[nodiscard]] std::vector<AxisTick> ticks(int max_labels, TickText style) const;

 private:
  double low_ = 0, high_ = 1;
  bool is_log_ = false;
  double at_low_ = 0, at_high_ = 1;
};

struct PlotFrame {
  double left = 0, top = 0, width = 0, height = 0;
  AxisScale x, y;
  std::string x_title, y_title;
  TickText x_text = TickText::kNumber;

  [[nodiscard]] double right() const noexcept { return left + width; }
  [[nodiscard]] double bottom() const noexcept { return top + height; }
  // Sets the ranges of the scales from the rectangle.
  void place(double at_left, double at_top, double new_width, double new_height);
};

// Grid lines, ticks, labels and titles. `with_y_labels` false: a panel that shares its neighbour's.
void draw_axes(SvgPicture& picture, const PlotFrame& frame, bool with_y_labels = true);

struct EndLabel {
  double x = 0, y = 0;  // where the thing it names ends
  std::string text;
  std::string css_class;
  int shape = -2;  // of the marker before the text; -2: none
};
// Names at x, long ones in several lines, moved apart vertically so that they do not overlap, with
// thin leaders. They take kLabelWidth from x on.
inline constexpr double kLabelWidth = 214;
inline constexpr double kLabelCharacter = 8.4;  // of a label's text, in a wide font
void draw_end_labels(SvgPicture& picture, double x, double top, double bottom,
                     std::vector<EndLabel> labels);

}  // namespace finescale
