// SPDX-License-Identifier: Apache-2.0
#include "coordinator/checked_sweep.h"

#include <filesystem>
#include <utility>

#include "coordinator/check_model.h"
#include "coordinator/check_recipes.h"
#include "coordinator/plan.h"
#include "coordinator/worker_tool.h"
#include "core/files.h"

namespace finescale {

CheckedSweep check_sweep(const std::string& file, const std::vector<Override>& overrides) {
  CheckedSweep checked;
  checked.sweep = load_sweep(file, overrides);
  checked.directory = std::filesystem::absolute(checked.sweep.output()).lexically_normal().string();
  if (!path_exists(checked.directory + "/store.sqlite")) {
    CheckedData data = check_data(checked.sweep, file);
    check_base_model(checked.sweep);
    // A combination of axis values that does not go together is found by planning.
    const Plan plan = make_plan(checked.sweep, [](const std::string& path) { return path; }, {});
    check_budgets(plan, checked.sweep, data, file);
    checked.found = std::move(data.found);
    for (std::string& found : check_recipes(plan, checked.sweep, file)) {
      checked.found.push_back(std::move(found));
    }
  }
  return checked;
}

}  // namespace finescale
