// SPDX-License-Identifier: Apache-2.0
#include "coordinator/sweep_changes.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "configs/canonical.h"
#include "configs/parse.h"
#include "coordinator/search/search.h"
#include "core/error.h"

namespace finescale {

namespace {

// Without what may differ between two runs of one campaign.
config::Sweep essence(const config::Sweep& sweep) {
  config::Sweep copy = sweep;
  copy.clear_resources();
  // Checkpoints load on any mesh, with the same bits on all of equal tensor size.
  copy.mutable_mesh()->Clear();
  copy.mutable_mesh()->set_tensor(sweep.mesh().tensor());
  copy.clear_laws();
  copy.clear_costs();
  copy.clear_budget();
  copy.clear_output();
  copy.clear_tensorboard();
  return copy;
}

// Lines of canonical text with their path in front, "trial.stages.train.learning_rate: 0.001", and
// one for each value of an axis.
std::vector<std::string> lines_of(const config::Sweep& sweep) {
  config::Sweep without_axes = sweep;
  without_axes.clear_axes();
  std::istringstream in(canonical_text(without_axes));
  std::vector<std::string> path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    const std::size_t begin = line.find_first_not_of(' ');
    line = begin == std::string::npos ? "" : line.substr(begin);
    if (line.ends_with(" {")) {
      path.push_back(line.substr(0, line.size() - 2));
    } else if (line == "}") {
      path.pop_back();
    } else {
      std::string whole;
      for (const std::string& part : path) {
        whole += part + ".";
      }
      lines.push_back(whole + line);
    }
  }
  for (const config::Axis& axis : sweep.axes()) {
    for (const std::string& value : axis_values(sweep, axis)) {
      lines.push_back("axes." + axis.path() + ": " + value);
    }
  }
  return lines;
}

// What is in `some` more often than in `others`, in the order of `some`.
std::string missing(const std::vector<std::string>& some, const std::vector<std::string>& others,
                    const char* mark) {
  std::multiset<std::string> left(others.begin(), others.end());
  std::string text;
  for (const std::string& line : some) {
    if (const auto found = left.find(line); found != left.end()) {
      left.erase(found);
    } else {
      text += std::string("\n    ") + mark + " " + line;
    }
  }
  return text;
}

// The fields that differ, or "".
std::string differences(const config::Sweep& before, const config::Sweep& after) {
  const std::vector<std::string> old_lines = lines_of(before);
  const std::vector<std::string> new_lines = lines_of(after);
  if (old_lines == new_lines) {
    return "";
  }
  const std::string fields =
      missing(old_lines, new_lines, "-") + missing(new_lines, old_lines, "+");
  return fields.empty() ? "\n    the order of a list" : fields;
}

// Values of the axes of `before` that `after` has not, or "".
std::string removed_values(const config::Sweep& before, const config::Sweep& after) {
  std::string text;
  for (const config::Axis& axis : before.axes()) {
    const auto found = std::find_if(after.axes().begin(), after.axes().end(),
                                    [&](const auto& a) { return a.path() == axis.path(); });
    if (found == after.axes().end()) {
      text += "\n    - axes." + axis.path();
      continue;
    }
    const std::vector<std::string> values = axis_values(after, *found);
    for (const std::string& value : axis_values(before, axis)) {
      if (std::find(values.begin(), values.end(), value) == values.end()) {
        text.append("\n    - axes.").append(axis.path()).append(": ").append(value);
      }
    }
  }
  return text;
}

// Without what --extend may add to.
config::Sweep without_growth(const config::Sweep& sweep) {
  config::Sweep copy = essence(sweep);
  copy.clear_axes();
  if (copy.search().has_random()) {
    copy.mutable_search()->mutable_random()->clear_trials();
  }
  return copy;
}

using Grid = std::vector<std::pair<std::string, std::vector<std::string>>>;

Grid grid_of(const config::Sweep& sweep) {
  Grid grid;
  for (const config::Axis& axis : sweep.axes()) {
    grid.emplace_back(axis.path(), axis_values(sweep, axis));
  }
  return grid;
}

std::string what_extend_refuses(const config::Sweep& before, const config::Sweep& after) {
  std::string fields = differences(without_growth(before), without_growth(after));
  fields += removed_values(before, after);
  if (!search_metric(before.search()).empty() && grid_of(before) != grid_of(after)) {
    fields += "\n    axes: what this search has decided holds for the axes that it began with";
  }
  if (before.search().has_random() && after.search().has_random() &&
      grid_of(before) != grid_of(after)) {
    fields +=
        "\n    axes: from another grid a random search draws other trials; only "
        "search.random.trials may grow";
  }
  if (before.search().has_random() && after.search().has_random() &&
      before.search().random().trials() > after.search().random().trials()) {
    fields += "\n    - search.random.trials: " + std::to_string(before.search().random().trials()) +
              "\n    + search.random.trials: " + std::to_string(after.search().random().trials());
  }
  return fields;
}

}  // namespace

void refuse_changes(const std::string& stored_text, const config::Sweep& now,
                    const std::string& directory) {
  config::Sweep stored;
  parse_canonical(stored_text, stored);
  const std::string fields = differences(essence(stored), essence(now));
  if (fields.empty()) {
    return;
  }
  const bool grown = what_extend_refuses(stored, now).empty();
  throw Error(ErrorKind::kConfig,
              "the directory holds another sweep; these fields differ:" + fields, directory,
              std::string(grown ? "--extend adds these trials to the campaign; or " : "") +
                  "choose another output (--set output=DIR) or put the file back; nothing was "
                  "changed");
}

void refuse_all_but_additions(const std::string& stored_text, const config::Sweep& now,
                              const std::string& directory) {
  config::Sweep stored;
  parse_canonical(stored_text, stored);
  const std::string fields = what_extend_refuses(stored, now);
  if (!fields.empty()) {
    throw Error(ErrorKind::kConfig,
                "--extend only adds values of axes; these fields were altered or removed:" + fields,
                directory,
                "put them back, or choose another output (--set output=DIR); nothing was changed");
  }
}

}  // namespace finescale
