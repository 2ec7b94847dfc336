// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/svg.h"

#include <cmath>
#include <cstdio>
#include <numbers>

#include "coordinator/report/html.h"

namespace finescale {

namespace {

// Two decimals are a hundredth of a pixel; trailing zeros only make the page longer.
std::string at(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.2f", std::isfinite(value) ? value : 0.0);
  std::string out = text;
  out.erase(out.find_last_not_of('0') + 1);
  out.erase(out.find_last_not_of('.') + 1);
  return out == "-0" ? "0" : out;
}

std::string attribute(const char* name, double value) {
  return std::string(" ") + name + "=\"" + at(value) + "\"";
}

std::string class_attribute(const std::string& css_class) {
  return css_class.empty() ? "" : " class=\"" + css_class + "\"";
}

std::string path_data(const SvgPoints& points) {
  std::string out;
  for (const auto& [x, y] : points) {
    out += (out.empty() ? "M" : "L") + at(x) + " " + at(y);
  }
  return out;
}

// Corners of a regular polygon, the first at `start` turns clockwise from the top.
SvgPoints polygon(double x, double y, double radius, int corners, double start) {
  SvgPoints points;
  for (int i = 0; i < corners; ++i) {
    const double angle = 2 * std::numbers::pi * (start + static_cast<double>(i) / corners);
    points.emplace_back(x + radius * std::sin(angle), y - radius * std::cos(angle));
  }
  return points;
}

const char* anchor_name(TextAnchor anchor) {
  switch (anchor) {
    case TextAnchor::kStart:
      return "start";
    case TextAnchor::kMiddle:
      return "middle";
    case TextAnchor::kEnd:
      return "end";
  }
  return "start";
}

}  // namespace

SvgPicture::SvgPicture(std::string id, double width, double height, const std::string& title,
                       const std::string& description)
    : id_(std::move(id)), width_(width), height_(height) {
  head_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"" + id_ +
          "-title " + id_ + "-desc\" viewBox=\"0 0 " + at(width) + " " + at(height) +
          "\">\n<title id=\"" + id_ + "-title\">" + html_escape(title) + "</title>\n<desc id=\"" +
          id_ + "-desc\">" + html_escape(description) + "</desc>\n";
}

void SvgPicture::open_group(const std::string& css_class) {
  body_ += "<g" + class_attribute(css_class) + ">\n";
}

void SvgPicture::open_clipped(double x, double y, double width, double height) {
  const std::string clip = id_ + "-clip" + std::to_string(num_clips_++);
  body_ += "<clipPath id=\"" + clip + "\"><rect" + attribute("x", x) + attribute("y", y) +
           attribute("width", width) + attribute("height", height) +
           "/></clipPath>\n<g clip-path=\"url(#" + clip + ")\">\n";
}

void SvgPicture::close_group() {
  body_ += "</g>\n";
}

void SvgPicture::line(double x1, double y1, double x2, double y2, const std::string& css_class) {
  body_ += "<line" + class_attribute(css_class) + attribute("x1", x1) + attribute("y1", y1) +
           attribute("x2", x2) + attribute("y2", y2) + "/>\n";
}

void SvgPicture::rectangle(double x, double y, double width, double height,
                           const std::string& css_class) {
  body_ += "<rect" + class_attribute(css_class) + attribute("x", x) + attribute("y", y) +
           attribute("width", width) + attribute("height", height) + "/>\n";
}

void SvgPicture::polyline(const SvgPoints& points, const std::string& css_class) {
  if (points.size() > 1) {
    body_ += "<path" + class_attribute(css_class) + " d=\"" + path_data(points) + "\"/>\n";
  }
}

void SvgPicture::band(const SvgPoints& upper, const SvgPoints& lower,
                      const std::string& css_class) {
  SvgPoints outline = upper;
  outline.insert(outline.end(), lower.rbegin(), lower.rend());
  if (outline.size() > 2) {
    body_ += "<path" + class_attribute(css_class) + " d=\"" + path_data(outline) + "Z\"/>\n";
  }
}

void SvgPicture::text(double x, double y, const std::string& content, const std::string& css_class,
                      TextAnchor anchor) {
  body_ += "<text" + class_attribute(css_class) + attribute("x", x) + attribute("y", y) +
           " text-anchor=\"" + anchor_name(anchor) + "\">" + html_escape(content) + "</text>\n";
}

void SvgPicture::vertical_text(double x, double y, const std::string& content,
                               const std::string& css_class) {
  body_ += "<text" + class_attribute(css_class) + " text-anchor=\"middle\" transform=\"translate(" +
           at(x) + " " + at(y) + ") rotate(-90)\">" + html_escape(content) + "</text>\n";
}

void SvgPicture::marker(double x, double y, double radius, int shape, const std::string& css_class,
                        const std::string& tooltip) {
  const std::string title = tooltip.empty() ? "" : "<title>" + html_escape(tooltip) + "</title>";
  if (shape == 0) {
    body_ += "<circle" + class_attribute(css_class) + attribute("cx", x) + attribute("cy", y) +
             attribute("r", radius) + ">" + title + "</circle>\n";
    return;
  }
  std::string data;
  switch (shape) {  // radii chosen so that the areas look alike
    case 1:
      data = path_data(polygon(x, y, 1.2 * radius, 4, 0.125)) + "Z";
      break;
    case 2:
      data = path_data(polygon(x, y + 0.2 * radius, 1.35 * radius, 3, 0)) + "Z";
      break;
    case 3:
      data = path_data(polygon(x, y, 1.3 * radius, 4, 0)) + "Z";
      break;
    case 4:
      data = path_data(polygon(x, y - 0.2 * radius, 1.35 * radius, 3, 0.5)) + "Z";
      break;
    case 5:
      data = path_data(polygon(x, y, 1.15 * radius, 5, 0)) + "Z";
      break;
    default:
      data = path_data({{x - radius, y - radius}, {x + radius, y + radius}}) +
             path_data({{x - radius, y + radius}, {x + radius, y - radius}});
  }
  body_ += "<path" + class_attribute(css_class) + " d=\"" + data + "\">" + title + "</path>\n";
}

std::string SvgPicture::finish() const {
  return head_ + body_ + "</svg>\n";
}

}  // namespace finescale
