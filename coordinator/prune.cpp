// SPDX-License-Identifier: Apache-2.0
#include "coordinator/prune.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "coordinator/artifacts.h"
#include "coordinator/store.h"
#include "core/files.h"

namespace finescale {

namespace {

namespace fs = std::filesystem;

std::int64_t size_of(const fs::path& path) {
  std::error_code code;  // what goes away meanwhile has no size
  if (!fs::is_directory(path, code)) {
    const auto size = fs::file_size(path, code);
    return code ? 0 : static_cast<std::int64_t>(size);
  }
  std::int64_t size = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path, code)) {
    size += entry.is_regular_file(code) ? static_cast<std::int64_t>(entry.file_size(code)) : 0;
  }
  return size;
}

std::vector<fs::path> entries_of(const std::string& directory) {
  std::vector<fs::path> paths;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(directory, code)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<std::string> inputs_of(const Campaign& campaign, const std::string& key) {
  config::StageSpec spec;
  parse_canonical(campaign.specs.at(key), spec);
  return {spec.inputs().begin(), spec.inputs().end()};
}

bool is_trunk(const Campaign& campaign, const std::string& key) {
  const auto found = campaign.stages.find(key);
  return found != campaign.stages.end() && found->second.label == "trunk";
}

// A stage that is through, whatever came of it, goes on from nothing.
bool is_over(const StoredStage& stage) {
  return stage.state == StageState::kDone || !stage.result.empty();
}

class Needs {
 public:
  explicit Needs(const Campaign& campaign) : campaign_(campaign) {
    for (const PlannedTrial& trial : campaign.trials) {
      for (const std::string& key : trial.is_tuning ? std::vector<std::string>() : trial.stages) {
        add(key);
      }
    }
    for (const auto& [key, stage] : campaign.stages) {
      for (const std::string& input :
           is_over(stage) ? std::vector<std::string>() : inputs_of(campaign, key)) {
        keys_.insert(input);
      }
    }
  }
  [[nodiscard]] bool contains(const std::string& key) const { return keys_.contains(key); }

 private:
  // With what its model rests on: not the trunk that it started from.
  void add(const std::string& key) {
    if (!campaign_.specs.contains(key) || !keys_.insert(key).second) {
      return;
    }
    for (const std::string& input : inputs_of(campaign_, key)) {
      if (!is_trunk(campaign_, input)) {
        add(input);
      }
    }
  }

  const Campaign& campaign_;
  std::set<std::string> keys_;
};

// Another trial may be planned, or wants what tuning decides.
bool is_open(const TrialRow& row) {
  return row.state == "pending" || row.state == "running";
}

void add_checkpoints(const Campaign& campaign, std::vector<Prunable>& found) {
  if (std::any_of(campaign.rows.begin(), campaign.rows.end(), is_open)) {
    return;
  }
  const Needs needs(campaign);
  for (const auto& [key, stage] : campaign.stages) {
    const fs::path file = artifact_directory(campaign.directory, key) + "/checkpoint.h5";
    if (stage.state == StageState::kDone && !needs.contains(key) && path_exists(file)) {
      const char* why = is_trunk(campaign, key) ? "a trunk: all that start from it are through"
                                                : "the model of a tuning trial";
      found.push_back({file.string(), why, size_of(file), key});
    }
  }
}

void add_attempts(const Campaign& campaign, std::vector<Prunable>& found) {
  for (const fs::path& path : entries_of(campaign.directory + "/attempts")) {
    const std::string name = path.filename().string();
    const auto stage = campaign.stages.find(name.substr(0, name.rfind('-')));
    if (stage == campaign.stages.end() || is_over(stage->second)) {
      found.push_back({path.string(), "an attempt at a stage that is through", size_of(path), ""});
    }
  }
}

void add_strays(const Campaign& campaign, std::vector<Prunable>& found) {
  for (const fs::path& path : entries_of(campaign.directory + "/artifacts")) {
    const std::string name = path.filename().string();
    if (name.starts_with(".damaged-") || name.find(".broken-") != std::string::npos) {
      found.push_back({path.string(), "a damaged artifact that was made again", size_of(path), ""});
    } else if (!name.starts_with(".") && !campaign.stages.contains(name)) {
      found.push_back({path.string(), "belongs to no stage", size_of(path), ""});
    }
  }
}

}  // namespace

std::vector<Prunable> what_may_be_pruned(const Campaign& campaign) {
  std::vector<Prunable> found;
  add_attempts(campaign, found);
  add_strays(campaign, found);
  add_checkpoints(campaign, found);
  return found;
}

void prune(const std::string& directory, const std::vector<Prunable>& files) {
  Store store(directory);  // no coordinator starts meanwhile
  std::set<std::string> pruned = pruned_stages(store);
  for (const Prunable& file : files) {
    if (!file.key.empty()) {
      pruned.insert(file.key);
    }
  }
  store.begin();
  put_pruned_stages(store, pruned);
  store.commit();
  for (const Prunable& file : files) {
    fs::remove_all(file.path);
  }
}

std::string prune_json(const std::vector<Prunable>& files, bool is_deleted) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::int64_t bytes = 0;
  for (const Prunable& file : files) {
    list.push_back({{"path", file.path}, {"bytes", file.size_bytes}, {"why", file.why}});
    bytes += file.size_bytes;
  }
  return nlohmann::ordered_json{{"files", list}, {"bytes", bytes}, {"deleted", is_deleted}}.dump(1);
}

}  // namespace finescale
