// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/svg.h"

#include <cmath>
#include <cstdio>

namespace finescale {

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // Control characters have no place in HTML: an answer of a model may hold any byte.
        out += static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

std::string fixed(double value, int decimals) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string significant(double value, int digits) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::string with_unit(double value) {
  static constexpr const char* kUnits[] = {"", " k", " M", " G", " T", " P", " E"};
  int unit = 0;
  while (std::abs(value) >= 1000 && unit < 6) {
    value /= 1000;
    ++unit;
  }
  return significant(value) + kUnits[unit];
}

Svg::Svg(int width, int height, const std::string& title, const std::string& description) {
  body_ = "<svg role=\"img\" viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(height) + "\"><title>" +
          escape_html(title) + "</title><desc>" + escape_html(description) + "</desc>\n";
}

void Svg::line(double x1, double y1, double x2, double y2, const std::string& css) {
  body_ += "<line x1=\"" + fixed(x1) + "\" y1=\"" + fixed(y1) + "\" x2=\"" + fixed(x2) + "\" y2=\"" + fixed(y2) + "\" class=\"" + css + "\"/>\n";
}

namespace {

std::string list(const Polyline& points) {
  std::string out;
  for (const auto& [x, y] : points) {
    out += (out.empty() ? "" : " ") + fixed(x) + "," + fixed(y);
  }
  return out;
}

}  // namespace

void Svg::path(const Polyline& points, const std::string& css) {
  body_ += "<polyline points=\"" + list(points) + "\" class=\"" + css + "\"/>\n";
}

void Svg::polygon(const Polyline& points, const std::string& css) {
  body_ += "<polygon points=\"" + list(points) + "\" class=\"" + css + "\"/>\n";
}

void Svg::rect(double x, double y, double width, double height, const std::string& css) {
  body_ += "<rect x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" + fixed(width) + "\" height=\"" + fixed(height) + "\" class=\"" + css + "\"/>\n";
}

void Svg::text(double x, double y, const std::string& words, const std::string& anchor, const std::string& css, double rotate) {
  const std::string turn = rotate == 0 ? "" : " transform=\"rotate(" + fixed(rotate, 0) + " " + fixed(x) + " " + fixed(y) + ")\"";
  body_ += "<text x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" text-anchor=\"" + anchor + "\" class=\"" + css + "\"" + turn + ">" + escape_html(words) + "</text>\n";
}

void Svg::marker(int shape, double x, double y, double size, const std::string& css, const std::string& tip) {
  const std::string title = tip.empty() ? "" : "<title>" + escape_html(tip) + "</title>";
  const double s = size;
  const auto shaped = [&](const Polyline& points) {
    body_ += "<polygon points=\"" + list(points) + "\" class=\"" + css + "\">" + title + "</polygon>\n";
  };
  switch (shape % 4) {
    case 0:
      body_ += "<circle cx=\"" + fixed(x) + "\" cy=\"" + fixed(y) + "\" r=\"" + fixed(s) + "\" class=\"" + css + "\">" + title + "</circle>\n";
      break;
    case 1:
      shaped({{x - s, y - s}, {x + s, y - s}, {x + s, y + s}, {x - s, y + s}});
      break;
    case 2:
      shaped({{x, y - 1.2 * s}, {x + 1.1 * s, y + 0.8 * s}, {x - 1.1 * s, y + 0.8 * s}});
      break;
    default:
      shaped({{x, y - 1.3 * s}, {x + 1.3 * s, y}, {x, y + 1.3 * s}, {x - 1.3 * s, y}});
  }
}

std::string Svg::finish() const { return body_ + "</svg>\n"; }

}  // namespace finescale
