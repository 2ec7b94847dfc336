// SPDX-License-Identifier: Apache-2.0
// A small writer of inline SVG. Colours come from CSS classes only (currentColor and variables of
// the page), so a picture follows the light, dark and print styles. Coordinates are viewBox units.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace finescale {

using SvgPoints = std::vector<std::pair<double, double>>;

enum class TextAnchor { kStart, kMiddle, kEnd };

class SvgPicture {
 public:
  // `id` is unique in the page; title and description are read out by screen readers.
  SvgPicture(std::string id, double width, double height, const std::string& title,
             const std::string& description);

  void open_group(const std::string& css_class);
  // What is drawn until close_group is cut at this rectangle.
  void open_clipped(double x, double y, double width, double height);
  void close_group();

  void line(double x1, double y1, double x2, double y2, const std::string& css_class);
  void rectangle(double x, double y, double width, double height, const std::string& css_class);
  void polyline(const SvgPoints& points, const std::string& css_class);
  // Closed: `upper` from left to right, then `lower` back.
  void band(const SvgPoints& upper, const SvgPoints& lower, const std::string& css_class);
  void text(double x, double y, const std::string& content, const std::string& css_class,
            TextAnchor anchor = TextAnchor::kStart);
  void vertical_text(double x, double y, const std::string& content, const std::string& css_class);
  // Shapes 0..5: circle, square, triangle, diamond, triangle pointing down, pentagon; -1: a cross.
  // `tooltip` may be empty.
  void marker(double x, double y, double radius, int shape, const std::string& css_class,
              const std::string& tooltip = {});

  [[nodiscard]] double width() const noexcept { return width_; }
  [[nodiscard]] double height() const noexcept { return height_; }
  [[nodiscard]] std::string finish() const;

 private:
  std::string id_;
  double width_;
  double height_;
  std::string body_;
  std::string head_;
  int num_clips_ = 0;
};

inline constexpr int kNumMarkerShapes = 6;

}  // namespace finescale
