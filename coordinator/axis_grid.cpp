// SPDX-License-Identifier: Apache-2.0
#include "coordinator/axis_grid.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "configs/parse.h"
#include "core/error.h"

namespace finescale {

namespace {

bool is_number(const std::string& text) {
  char* end = nullptr;
  (void)std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0';
}

}  // namespace

AxisGrid::AxisGrid(const config::Sweep& sweep) {
  for (const config::Axis& axis : sweep.axes()) {
    axes_.emplace_back(axis.path(), axis_values(sweep, axis));
  }
}

Point AxisGrid::point(std::uint64_t number) const {
  Point point;
  for (auto axis = axes_.rbegin(); axis != axes_.rend(); ++axis) {
    point[axis->first] = axis->second[number % axis->second.size()];
    number /= axis->second.size();
  }
  return point;
}

std::size_t AxisGrid::index_of(const std::string& path) const {
  const auto found = std::find_if(axes_.begin(), axes_.end(),
                                  [&](const auto& axis) { return axis.first == path; });
  if (found == axes_.end()) {
    throw Error(ErrorKind::kInternal, path + " is no axis: rules were not checked");
  }
  return static_cast<std::size_t>(found - axes_.begin());
}

SearchSpace AxisGrid::space(const config::Sweep& sweep) const {
  SearchSpace space;
  space.open_limit = sweep.resources().gangs();
  for (const auto& [path, values] : axes_) {
    space.sizes.push_back(values.size());
    space.is_ordered.push_back(std::all_of(values.begin(), values.end(), is_number));
  }
  const config::Rungs* rungs = rungs_of(sweep.search());
  if (rungs == nullptr) {
    return space;
  }
  space.rung_axis = index_of(rungs->budget());
  const std::vector<std::string>& budgets = axes_[space.rung_axis].second;
  space.rungs.resize(budgets.size());
  std::iota(space.rungs.begin(), space.rungs.end(), std::size_t{0});
  std::stable_sort(space.rungs.begin(), space.rungs.end(), [&](std::size_t a, std::size_t b) {
    return std::atoll(budgets[a].c_str()) < std::atoll(budgets[b].c_str());
  });
  for (const std::string& path : rungs->per()) {
    space.per.push_back(index_of(path));
  }
  return space;
}

}  // namespace finescale
