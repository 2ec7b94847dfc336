// SPDX-License-Identifier: Apache-2.0
#include "coordinator/report/html.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace finescale {

namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr const char* kMinus = "\xE2\x88\x92";        // U+2212
constexpr const char* kTimes = "\xC2\xA0\xC3\x97\xC2\xA0";
constexpr const char* kInfinity = "\xE2\x88\x9E";
constexpr const char* kEllipsis = "\xE2\x80\xA6";

// Length of the UTF-8 character that begins at `i`, 0 when there is none that XML allows.
std::size_t character_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned first = byte(i);
  if (first < 0x80) {
    return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
  }
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || i + length > text.size()) {
    return 0;
  }
  unsigned code = first & (0xFFU >> (length + 1));
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0U) != 0x80U) {
      return 0;
    }
    code = code << 6U | (byte(i + k) & 0x3FU);
  }
  constexpr unsigned kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool forbidden =
      (code >= 0xD800 && code < 0xE000) || code == 0xFFFE || code == 0xFFFF || code > 0x10FFFF;
  return code < kSmallest[length] || forbidden ? 0 : length;
}

std::string printed(const char* format, int precision, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, precision, value);
  return text;
}

// "-12800.5" -> minus sign and thousands separators.
std::string grouped(std::string digits) {
  std::string sign;
  if (!digits.empty() && digits.front() == '-') {
    sign = kMinus;
    digits.erase(0, 1);
  }
  const std::size_t point = digits.find('.');
  std::size_t at = point == std::string::npos ? digits.size() : point;
  while (at > 3) {
    at -= 3;
    digits.insert(at, ",");
  }
  return sign + digits;
}

std::string not_finite(double value) {
  return std::isnan(value) ? "not a number" : (value < 0 ? kMinus : "") + std::string(kInfinity);
}

std::string superscript(int exponent) {
  static const char* const kDigits[] = {
      "\xE2\x81\xB0", "\xC2\xB9",     "\xC2\xB2",     "\xC2\xB3",     "\xE2\x81\xB4",
      "\xE2\x81\xB5", "\xE2\x81\xB6", "\xE2\x81\xB7", "\xE2\x81\xB8", "\xE2\x81\xB9"};
  std::string out = exponent < 0 ? "\xE2\x81\xBB" : "";
  for (const char c : std::to_string(std::abs(exponent))) {
    out += kDigits[c - '0'];
  }
  return out;
}

}  // namespace

std::string html_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text, i);
    if (length == 0) {
      out += kReplacement;
      ++i;
      continue;
    }
    switch (text[i]) {
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
      case '\'':
        out += "&#39;";
        break;
      default:
        out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

std::string typeset_fixed(double value, int decimals) {
  return std::isfinite(value) ? grouped(printed("%.*f", decimals, value)) : not_finite(value);
}

std::string typeset_number(double value, int significant) {
  if (!std::isfinite(value)) {
    return not_finite(value);
  }
  if (value == 0) {
    return "0";
  }
  const std::string scientific = printed("%.*e", significant - 1, value);
  const std::size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (exponent >= 6 || exponent < -4) {
    std::string mantissa = scientific.substr(0, e);
    if (mantissa.find('.') != std::string::npos) {
      mantissa.erase(mantissa.find_last_not_of('0') + 1);
      mantissa.erase(mantissa.find_last_not_of('.') + 1);
    }
    const std::string power = "10" + superscript(exponent);
    return mantissa == "1" ? power : grouped(mantissa) + kTimes + power;
  }
  std::string digits = printed("%.*f", std::max(0, significant - 1 - exponent), value);
  if (digits.find('.') != std::string::npos) {
    digits.erase(digits.find_last_not_of('0') + 1);
    digits.erase(digits.find_last_not_of('.') + 1);
  }
  return grouped(digits);
}

std::string typeset_count(double value) {
  if (!std::isfinite(value)) {
    return not_finite(value);
  }
  return std::abs(value) < 1e12 ? grouped(printed("%.*f", 0, value)) : typeset_number(value, 3);
}

std::string typeset_percent(double fraction) {
  return typeset_number(100 * fraction, 2) + "%";
}

std::string typeset_duration(double seconds) {
  if (!std::isfinite(seconds)) {
    return not_finite(seconds);
  }
  const std::string space = "\xC2\xA0";
  if (seconds < 60) {
    return typeset_number(seconds, 2) + space + "s";
  }
  const auto whole = static_cast<long long>(std::llround(seconds));
  if (whole < 3600) {
    const std::string minutes = std::to_string(whole / 60) + space + "min";
    return whole < 600 ? minutes + " " + std::to_string(whole % 60) + space + "s" : minutes;
  }
  return grouped(std::to_string(whole / 3600)) + space + "h " + std::to_string(whole % 3600 / 60) +
         space + "min";
}

std::string typeset_interval(const Interval& interval, int significant) {
  return "[" + typeset_number(interval.low, significant) + ", " +
         typeset_number(interval.high, significant) + "]";
}

std::string typeset_estimate(double count) {
  if (!std::isfinite(count) || std::abs(count) < 1000) {
    return typeset_count(count);
  }
  const double unit = std::pow(10, std::floor(std::log10(std::abs(count))) - 2);
  return typeset_count(std::round(count / unit) * unit);
}

std::string typeset_count_interval(const Interval& interval) {
  return typeset_estimate(interval.low) + " to " + typeset_estimate(interval.high);
}

std::string joined_names(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return out;
}

std::string typeset_plural(double count, const std::string& noun) {
  return typeset_count(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string shortened_text(const std::string& text, std::size_t length) {
  std::size_t characters = 0;
  std::size_t cut = 0;  // byte offset after length - 1 characters
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) {
      continue;
    }
    if (++characters == length) {
      cut = i;
    }
  }
  return characters <= length ? text : text.substr(0, cut) + kEllipsis;
}

std::vector<std::string> wrapped_text(const std::string& text, std::size_t length,
                                      std::size_t most_lines) {
  std::vector<std::string> lines;
  std::string rest = text;
  while (lines.size() + 1 < most_lines) {
    std::size_t characters = 0;
    std::size_t end = 0;  // byte offset behind `length` characters
    for (; end < rest.size(); ++end) {
      const bool begins = (static_cast<unsigned char>(rest[end]) & 0xC0U) != 0x80U;
      if (begins && ++characters > length) {
        break;
      }
    }
    if (end == rest.size()) {
      break;
    }
    const std::size_t space = rest.rfind(' ', end);
    const bool has_space = space != std::string::npos && space > 0;
    lines.push_back(rest.substr(0, has_space ? space : end));
    rest = rest.substr(has_space ? space + 1 : end);
  }
  lines.push_back(shortened_text(rest, length));
  return lines;
}

std::string capitalised(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') {
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  }
  return text;
}

double relative_error(double rmsd_of_log) {
  return std::expm1(rmsd_of_log);
}

HtmlTable& HtmlTable::column(const std::string& title_html, bool is_number) {
  titles_.push_back(title_html);
  is_number_.push_back(is_number);
  return *this;
}

HtmlTable& HtmlTable::row(std::vector<std::string> cells_html, const std::string& css_class) {
  cells_html.resize(titles_.size());
  rows_.push_back({std::move(cells_html), css_class});
  return *this;
}

std::string HtmlTable::html() const {
  const auto number_class = [&](std::size_t i) {
    return std::string(is_number_[i] ? " class=\"number\"" : "");
  };
  std::string out =
      "<div class=\"scroll\"><table>\n<caption>" + caption_ + "</caption>\n<thead><tr>";
  for (std::size_t i = 0; i < titles_.size(); ++i) {
    out += "<th scope=\"col\"" + number_class(i) + ">" + titles_[i] + "</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const Row& row : rows_) {
    out += row.css_class.empty() ? "<tr>" : "<tr class=\"" + row.css_class + "\">";
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      const std::string tag = i == 0 ? "th" : "td";
      out.append("<").append(tag).append(i == 0 ? " scope=\"row\"" : "").append(number_class(i));
      out.append(">").append(row.cells[i]).append("</").append(tag).append(">");
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace finescale
