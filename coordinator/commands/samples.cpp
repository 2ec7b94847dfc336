// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>

#include "coordinator/campaign_reader.h"
#include "coordinator/commands/command.h"

namespace finescale {

namespace {

// Of each group of trials the one with the smallest and the one with the largest budget: before and
// after the data.
int samples(const std::string& directory) {
  const Campaign campaign = read_campaign(directory);
  std::map<std::string, std::pair<const TrialRow*, const TrialRow*>> ends;
  const auto budget = [&](const TrialRow& row) {
    for (const auto& [path, value] : row.axes) {
      if (path.ends_with("." + campaign.sweep.laws().x())) {
        return std::stod(value);
      }
    }
    return 0.0;
  };
  for (const TrialRow& row : campaign.rows) {
    if (row.is_tuning || row.samples.empty()) {
      continue;
    }
    std::string group;
    for (const auto& [path, value] : row.axes) {
      if (path != "seed" && !path.ends_with("." + campaign.sweep.laws().x())) {
        group += (group.empty() ? "" : ", ") + short_value(value);
      }
    }
    auto& [low, high] = ends[group];
    low = low == nullptr || budget(row) < budget(*low) ? &row : low;
    high = high == nullptr || budget(row) > budget(*high) ? &row : high;
  }
  for (const auto& [group, rows] : ends) {
    const auto& [low, high] = rows;
    std::cout << group << "\n";
    char line[512];
    std::snprintf(line, sizeof line, "  %-24s %-24s %-28s %s\n", "prompt", "expected",
                  ("after " + std::to_string(static_cast<long>(budget(*low)))).c_str(),
                  ("after " + std::to_string(static_cast<long>(budget(*high)))).c_str());
    std::cout << line;
    for (std::size_t i = 0; i < std::min(low->samples.size(), high->samples.size()); ++i) {
      std::snprintf(line, sizeof line, "  %-24.60s %-24.60s %-28.60s %.60s\n",
                    low->samples[i].prompt.c_str(), low->samples[i].expected.c_str(),
                    low->samples[i].answer.c_str(), high->samples[i].answer.c_str());
      std::cout << line;
    }
  }
  return 0;
}

}  // namespace

void add_samples(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "samples",
      "greedy answers to held-out prompts: smallest against largest data budget of each method");
  const auto directory = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "campaign directory");
  command->callback(
      [directory, &context] { context.exit_code = samples(campaign_directory(*directory)); });
}

}  // namespace finescale
