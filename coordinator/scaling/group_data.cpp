// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scaling/group_data.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "core/error.h"

namespace finescale {
namespace {

void check(const LawPoint& p, std::size_t index) {
  const bool good = std::isfinite(p.D) && p.D > 0 && std::isfinite(p.loss) && p.loss > 0 &&
                    std::isfinite(p.weight) && p.weight > 0 && std::isfinite(p.N) && p.N >= 0 &&
                    std::isfinite(p.U) && p.U >= 0;
  if (!good) {
    throw Error(ErrorKind::kData,
                "point " + std::to_string(index + 1) + " of group '" + p.group +
                    "' has D, loss or weight that is not a positive number",
                "", "laws are fitted to logarithms: leave out runs without data or with NaN loss");
  }
}

GroupData arrange(const std::string& name, const std::vector<LawPoint>& points) {
  GroupData group;
  group.name = name;
  group.table = make_law_table(points);
  std::map<std::tuple<double, double, double>, int> cells;
  std::map<std::string, int> trunks;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const LawPoint& p = points[i];
    const auto key = std::make_tuple(p.D, p.N, group.table.U[i]);
    group.cell.push_back(cells.emplace(key, static_cast<int>(cells.size())).first->second);
    const std::string trunk = p.trunk.empty() ? "\n" + std::to_string(i) : p.trunk;
    group.trunk.push_back(trunks.emplace(trunk, static_cast<int>(trunks.size())).first->second);
    group.budgets.push_back(p.D);
    group.N = std::max(group.N, p.N);
    group.N_varies = group.N_varies || p.N != points[0].N;
  }
  group.num_cells = static_cast<int>(cells.size());
  group.num_trunks = static_cast<int>(trunks.size());
  group.has_trunks = trunks.size() < points.size();
  std::sort(group.budgets.begin(), group.budgets.end());
  group.budgets.erase(std::unique(group.budgets.begin(), group.budgets.end()), group.budgets.end());
  return group;
}

}  // namespace

std::vector<GroupData> split_groups(const std::vector<LawPoint>& points) {
  std::map<std::string, std::vector<LawPoint>> by_name;
  for (std::size_t i = 0; i < points.size(); ++i) {
    check(points[i], i);
    by_name[points[i].group].push_back(points[i]);
  }
  std::vector<GroupData> groups;
  for (auto& [name, members] : by_name) {
    std::stable_sort(members.begin(), members.end(),
                     [](const LawPoint& a, const LawPoint& b) { return a.D < b.D; });
    groups.push_back(arrange(name, members));
  }
  return groups;
}

LawTable cell_means(const GroupData& group) {
  LawTable cells;
  const auto n = static_cast<std::size_t>(group.num_cells);
  cells.ln_D.resize(n);
  cells.ln_N.resize(n);
  cells.D.resize(n);
  cells.N.resize(n);
  cells.U.resize(n);
  cells.y.assign(n, 0);
  cells.weight.assign(n, 0);
  for (std::size_t i = 0; i < group.table.size(); ++i) {
    const auto c = static_cast<std::size_t>(group.cell[i]);
    cells.ln_D[c] = group.table.ln_D[i];
    cells.ln_N[c] = group.table.ln_N[i];
    cells.D[c] = group.table.D[i];
    cells.N[c] = group.table.N[i];
    cells.U[c] = group.table.U[i];
    cells.y[c] += group.table.weight[i] * group.table.y[i];
    cells.weight[c] += group.table.weight[i];
  }
  for (std::size_t c = 0; c < n; ++c) {
    cells.y[c] /= cells.weight[c];
  }
  return cells;
}

}  // namespace finescale
