// SPDX-License-Identifier: Apache-2.0
// Values of axes, and a sweep with one value of each put in.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "configs/field_path.h"
#include "configs/flow_text.h"
#include "configs/let.h"
#include "configs/parse.h"
#include "configs/presets.h"
#include "configs/ranges.h"
#include "configs/rules.h"
#include "configs/schema/options.pb.h"
#include "configs/yaml_reader.h"
#include "core/error.h"
#include "core/random.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool is_whole(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_INT64;
}

struct Range {
  double from = 0;
  double to = 0;
  int points = 0;
  bool is_geometric = false;
};

std::vector<std::string> spread(const std::string& path, const FieldDescriptor& field,
                                const Range& range) {
  const bool is_any = field.options().GetExtension(config::raw);  // a name of let
  if (!is_whole(field) && field.cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE && !is_any) {
    throw Error(ErrorKind::kConfig, path + " is not a number: give a list of values");
  }
  if (!(range.from < range.to)) {
    throw Error(ErrorKind::kConfig, path + ": from is " + number_text(range.from) +
                                        ", must be < to, which is " + number_text(range.to));
  }
  std::vector<std::string> values;
  for (int i = 0; i < range.points; ++i) {
    const double t = static_cast<double>(i) / (range.points - 1);
    double value = range.is_geometric ? range.from * std::pow(range.to / range.from, t)
                                      : range.from + (range.to - range.from) * t;
    value = i == 0 ? range.from : i + 1 == range.points ? range.to : value;  // the ends are exact
    if (is_whole(field)) {
      values.push_back(std::to_string(std::llround(value)));
      continue;
    }
    // Seven digits: what a person would write, and the same whatever the machine's pow().
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", value);
    values.push_back(number_text(std::strtod(text, nullptr)));
  }
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (values[i] == values[i - 1]) {
      throw Error(ErrorKind::kConfig,
                  path + " has the value " + values[i] + " twice after rounding", {},
                  "give fewer points or a wider range");
    }
  }
  return values;
}

}  // namespace

std::vector<std::string> axis_values(const config::Sweep& sweep, const config::Axis& axis) {
  config::Sweep copy = sweep;
  const FieldRef ref = scalar_or_message_field(copy, axis.path(), "");
  std::vector<std::string> raw(axis.values().begin(), axis.values().end());
  if (axis.has_geometric()) {
    const config::Geometric& range = axis.geometric();
    raw = spread(axis.path(), *ref.field, {range.from(), range.to(), range.points(), true});
  } else if (axis.has_linear()) {
    const config::LinearRange& range = axis.linear();
    raw = spread(axis.path(), *ref.field, {range.from(), range.to(), range.points(), false});
  }
  std::vector<std::string> values;
  for (const std::string& text : raw) {
    read_yaml_field(text, "", axis.path(), *ref.message, *ref.field);
    check_has_kind(ref, axis.path(), "");
    values.push_back(flow_value(*ref.message, *ref.field));
  }
  return values;
}

std::string field_text(const config::Sweep& sweep, const std::string& path) {
  config::Sweep copy = sweep;
  const FieldRef ref = scalar_or_message_field(copy, path, "");
  return flow_value(*ref.message, *ref.field);
}

std::vector<std::string> tuning_values(const config::Sweep& sweep, const std::string& field) {
  const config::Tune& tune = sweep.tune();
  config::Axis axis;
  axis.set_path(field);
  for (const config::TuneRange& range : tune.ranges()) {
    if (range.path() == field) {
      axis.mutable_geometric()->set_from(range.from());
      axis.mutable_geometric()->set_to(range.to());
      axis.mutable_geometric()->set_points(tune.trials());
      return axis_values(sweep, axis);
    }
  }
  if (tune.has_geometric()) {
    *axis.mutable_geometric() = tune.geometric();
    return axis_values(sweep, axis);
  }
  const std::string text = field_text(sweep, axis.path());
  char* end = nullptr;
  const double middle = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(middle > 0)) {
    throw Error(ErrorKind::kConfig,
                axis.path() + " is " + text + ", must be a number > 0 to tune it", {},
                "give tune.geometric: {from, to, points}");
  }
  axis.mutable_geometric()->set_from(middle / 4);
  axis.mutable_geometric()->set_to(middle * 4);
  axis.mutable_geometric()->set_points(tune.trials());
  return axis_values(sweep, axis);
}

std::vector<std::map<std::string, std::string>> tuning_points(const config::Sweep& sweep) {
  const config::Tune& tune = sweep.tune();
  const auto trials = static_cast<std::size_t>(tune.trials());
  std::vector<std::map<std::string, std::string>> points(trials);
  for (int f = 0; f < tune.fields_size(); ++f) {
    const std::vector<std::string> values = tuning_values(sweep, tune.fields(f));
    // The first field goes up; the others are dealt by permutations of their own.
    const Permutation order(trials, static_cast<std::uint64_t>(f), Purpose::kSearch);
    for (std::size_t i = 0; i < trials; ++i) {
      points[i][tune.fields(f)] = values[f == 0 ? i : order[i]];
    }
  }
  return points;
}

config::Sweep apply_values(const config::Sweep& sweep,
                           const std::map<std::string, std::string>& values,
                           const std::string& where) {
  config::Sweep copy = sweep;
  // A method is set in front of the fields that belong to it.
  std::vector<std::pair<std::string, std::string>> ordered(values.begin(), values.end());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return std::count(a.first.begin(), a.first.end(), '.') <
           std::count(b.first.begin(), b.first.end(), '.');
  });
  for (const auto& [path, value] : ordered) {
    set_field(copy, path, value, where);
    if (path == "base.preset") {
      copy.mutable_base()->clear_architecture();
      resolve_preset(*copy.mutable_base(), where);
    }
  }
  apply_let(copy, where);
  resolve_defaults(copy);
  return copy;
}

}  // namespace finescale
