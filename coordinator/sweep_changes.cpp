// SPDX-License-Identifier: Apache-2.0
#include "coordinator/sweep_changes.h"

#include <set>
#include <sstream>
#include <vector>

#include "configs/canonical.h"
#include "core/error.h"

namespace finescale {

namespace {

// Lines of canonical text with their path in front: "trial.stages.train.learning_rate: 0.001".
std::vector<std::string> lines_of(const config::Sweep& sweep) {
  config::Sweep copy = sweep;
  copy.clear_resources();
  copy.clear_laws();
  copy.clear_costs();
  copy.clear_budget();
  copy.clear_output();
  std::istringstream in(canonical_text(copy));
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
  return lines;
}

}  // namespace

void refuse_changes(const std::string& stored_text, const config::Sweep& now,
                    const std::string& directory) {
  config::Sweep stored;
  parse_canonical(stored_text, stored);
  const std::vector<std::string> before = lines_of(stored);
  const std::vector<std::string> after = lines_of(now);
  if (before == after) {
    return;
  }
  const std::multiset<std::string> old_lines(before.begin(), before.end());
  const std::multiset<std::string> new_lines(after.begin(), after.end());
  std::string fields;
  for (const std::string& line : before) {
    fields += new_lines.contains(line) ? "" : "\n    - " + line;
  }
  for (const std::string& line : after) {
    fields += old_lines.contains(line) ? "" : "\n    + " + line;
  }
  throw Error(ErrorKind::kConfig,
              "the directory holds another sweep; these fields differ:" + fields, directory,
              "choose another output (--set output=DIR) or put the file back; nothing was changed");
}

}  // namespace finescale
