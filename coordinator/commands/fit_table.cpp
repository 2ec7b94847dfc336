// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/fit_table.h"

#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

const char* const kColumns = "columns: D,loss[,N][,U][,group][,seed][,weight]";

struct Place {
  const std::string& file;
  int line;
  [[noreturn]] void refuse(const std::string& message, const std::string& hint = {}) const {
    throw Error(ErrorKind::kData, message, file + ":" + std::to_string(line), hint);
  }
};

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) {
    return {};
  }
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

std::vector<std::string> split_line(std::string_view line, const Place& place) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  bool was_quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted) {
      if (c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += '"';
        ++i;
      } else if (c == '"') {
        quoted = false;
      } else {
        fields.back() += c;
      }
    } else if (c == '"' && trimmed(fields.back()).empty()) {
      fields.back().clear();
      quoted = was_quoted = true;
    } else if (c == ',') {
      fields.back() = was_quoted ? fields.back() : trimmed(fields.back());
      fields.emplace_back();
      was_quoted = false;
    } else if (!was_quoted || (c != ' ' && c != '\t' && c != '\r')) {
      fields.back() += c;
    }
  }
  if (quoted) {
    place.refuse("a quote is not closed");
  }
  fields.back() = was_quoted ? fields.back() : trimmed(fields.back());
  return fields;
}

double read_number(const std::string& text, const std::string& column, const Place& place) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end) {
    place.refuse("'" + text + "' in column " + column + " is not a number");
  }
  return value;
}

using ColumnPlaces = std::map<std::string, std::size_t>;

ColumnPlaces read_header(const std::vector<std::string>& names, const Place& place) {
  ColumnPlaces columns;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string name = names[i];
    if (i == 0 && name.starts_with("\xEF\xBB\xBF")) {
      name = trimmed(name.substr(3));  // byte order mark
    }
    if (name != "D" && name != "loss" && name != "N" && name != "U" && name != "group" &&
        name != "trunk" && name != "seed" && name != "weight") {
      place.refuse("unknown column '" + name + "'", kColumns);
    }
    if (!columns.emplace(name, i).second) {
      place.refuse("column '" + name + "' occurs twice", kColumns);
    }
  }
  if (!columns.contains("D") || !columns.contains("loss")) {
    place.refuse("the header must name D and loss", kColumns);
  }
  return columns;
}

LawPoint read_point(const std::vector<std::string>& fields, const ColumnPlaces& columns,
                    const Place& place) {
  const auto text = [&](const char* name) -> std::optional<std::string> {
    const auto found = columns.find(name);
    return found == columns.end() ? std::nullopt : std::optional(fields[found->second]);
  };
  const auto positive = [&](const char* name, double otherwise) {
    const auto field = text(name);
    if (!field) {
      return otherwise;
    }
    const double value = read_number(*field, name, place);
    if (!(value > 0) || !std::isfinite(value)) {
      place.refuse(std::string(name) + " is " + *field + ", must be above 0 and finite");
    }
    return value;
  };
  LawPoint point;
  point.D = positive("D", 0);
  point.loss = positive("loss", 0);
  point.N = positive("N", 0);
  point.U = positive("U", 0);
  point.weight = positive("weight", 1);
  if (point.U > point.D) {
    place.refuse("U (unique examples) is above D");
  }
  point.group = text("group").value_or("all");
  if (point.group.empty()) {
    place.refuse("the group is empty");
  }
  const std::string trunk = text("trunk").value_or(text("seed").value_or(""));
  point.trunk = trunk.empty() ? "" : point.group + " " + trunk;
  return point;
}

}  // namespace

std::vector<LawPoint> parse_fit_table(std::string_view text, const std::string& name) {
  std::vector<LawPoint> points;
  std::optional<ColumnPlaces> columns;
  std::size_t width = 0;
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const Place place{name, ++number};
    if (trimmed(line).empty() || trimmed(line).starts_with('#')) {
      continue;
    }
    const std::vector<std::string> fields = split_line(line, place);
    if (!columns) {
      columns = read_header(fields, place);
      width = fields.size();
    } else if (fields.size() != width) {
      place.refuse("the line has " + std::to_string(fields.size()) + " fields, the header " +
                   std::to_string(width));
    } else {
      points.push_back(read_point(fields, *columns, place));
    }
  }
  if (points.empty()) {
    throw Error(ErrorKind::kData, "the table has no points", name, kColumns);
  }
  return points;
}

std::vector<LawPoint> read_fit_table(const std::string& path) {
  return parse_fit_table(read_file(path), path);
}

}  // namespace finescale
