// SPDX-License-Identifier: Apache-2.0
// Texts cut apart and put together.
#include <algorithm>

#include "worker/data/jinja/text.h"

namespace finescale::jinja {

std::vector<std::string> split_words(std::string_view text, std::int64_t max) {
  std::vector<std::string> words;
  text = strip(text, Side::kLeft);
  while (!text.empty()) {
    if (max >= 0 && static_cast<std::int64_t>(words.size()) == max) {
      words.emplace_back(strip(text, Side::kRight));
      break;
    }
    std::size_t end = 0;
    while (end < text.size() && !all_space(text.substr(end, code_point_size(text, end)))) {
      end += code_point_size(text, end);
    }
    words.emplace_back(text.substr(0, end));
    text = strip(text.substr(end), Side::kLeft);
  }
  return words;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\r\n\v\f"), text.size());
    const std::size_t mark = end == text.size() ? 0 : text.substr(end, 2) == "\r\n" ? 2 : 1;
    lines.emplace_back(text.substr(0, keep_ends ? end + mark : end));
    text.remove_prefix(end + mark);
  }
  return lines;
}

std::vector<std::string> split(std::string_view text, std::string_view separator, std::int64_t max,
                               bool from_right) {
  std::vector<std::string> parts;
  while (max < 0 || static_cast<std::int64_t>(parts.size()) < max) {
    const std::size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) {
      break;
    }
    parts.emplace_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
  }
  parts.emplace_back(text);
  if (from_right) {
    std::reverse(parts.begin(), parts.end());
  }
  return parts;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t max) {
  std::string out;
  std::size_t at = 0;
  for (std::int64_t count = 0; max < 0 || count < max; ++count) {
    if (from.empty()) {  // Python puts `to` around every character
      if (at > text.size()) {
        break;
      }
      out += to;
      const std::size_t size = at < text.size() ? code_point_size(text, at) : 1;
      out += text.substr(at, size);
      at += size;
      continue;
    }
    const std::size_t found = text.find(from, at);
    if (found == std::string_view::npos) {
      break;
    }
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
  }
  return at < text.size() ? out.append(text.substr(at)) : out;
}

}  // namespace finescale::jinja
