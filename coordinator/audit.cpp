// SPDX-License-Identifier: Apache-2.0
#include "coordinator/audit.h"

#include <filesystem>
#include <set>
#include <tuple>

#include <nlohmann/json.hpp>

#include "checkpoint/manifest.h"
#include "configs/canonical.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

void check_artifact(const Campaign& campaign, const StoredStage& stage, Audit& audit) {
  const std::string directory = campaign.directory + "/artifacts/" + stage.key;
  try {
    const char* gone = campaign.pruned.contains(stage.key) ? "checkpoint.h5" : "";
    for (const std::string& problem : verify_manifest(directory, true, gone)) {
      audit.violations.push_back({"artifact", stage.key + ": " + problem});
    }
    if (read_manifest(directory).key != stage.key) {
      audit.violations.push_back({"artifact", stage.key + ": its manifest names another stage"});
    }
  } catch (const Error& error) {
    audit.violations.push_back({"artifact", stage.key + ": " + error.what()});
  }
}

// Rows are those of updates 1..n: with log_every 1 every one exactly once, else strictly ascending.
void check_steps(const Campaign& campaign, const StoredStage& stage,
                 const proto::StageResult& result, Audit& audit) {
  config::StageSpec spec;
  parse_canonical(campaign.specs.at(stage.key), spec);
  if (!spec.has_train()) {
    return;
  }
  std::int64_t last = 0;
  std::int64_t tokens = 0;
  const bool every = spec.train().train().log_every() == 1;
  for (const proto::StepRow& row : result.steps()) {
    if (row.step() <= last || (every && row.step() != last + 1)) {
      audit.violations.push_back({"steps", stage.key + ": update " + std::to_string(row.step()) +
                                               " follows " + std::to_string(last)});
    }
    last = row.step();
    tokens += row.tokens();
  }
  if (every && tokens != result.tokens()) {
    audit.violations.push_back({"tokens", stage.key + ": rows hold " + std::to_string(tokens) +
                                              " tokens, the result says " +
                                              std::to_string(result.tokens())});
  }
}

// Tokens, labels, examples and FLOPs that the trunks of the campaign have done.
using TrunkTotals = std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t, double>>;

TrunkTotals trunk_totals(const Campaign& campaign) {
  TrunkTotals totals;
  for (const auto& [key, result] : campaign.results) {
    if (campaign.stages.at(key).label == "trunk") {
      totals.emplace(result.tokens(), result.labels(), result.examples(), result.train_flops());
    }
  }
  return totals;
}

// What a stage took over is what a trunk has done, no more and no less. Which one its text names
// may have changed with a later plan.
void check_inherited(const TrunkTotals& trunks, const StoredStage& stage,
                     const proto::StageResult& result, Audit& audit) {
  const proto::TrainTotals& taken = result.inherited();
  if (result.has_inherited() &&
      !trunks.contains({taken.tokens(), taken.labels(), taken.examples(), taken.train_flops()})) {
    audit.violations.push_back({"trunk", stage.key + " took over " +
                                             std::to_string(taken.tokens()) +
                                             " tokens, which is not what any trunk has done"});
  }
}

void check_done(const Campaign& campaign, const TrunkTotals& trunks, const StoredStage& stage,
                Audit& audit) {
  ++audit.committed;
  check_artifact(campaign, stage, audit);
  const auto result = campaign.results.find(stage.key);
  if (result == campaign.results.end()) {
    audit.violations.push_back({"result", stage.key + " is done without a result"});
  } else {
    check_steps(campaign, stage, result->second, audit);
    check_inherited(trunks, stage, result->second, audit);
    audit.train_tokens += result->second.tokens() - result->second.inherited().tokens();
    audit.train_flops += result->second.train_flops() - result->second.inherited().train_flops();
  }
}

void check_stage(const Campaign& campaign, const TrunkTotals& trunks, const StoredStage& stage,
                 Audit& audit) {
  config::StageSpec spec;
  parse_canonical(campaign.specs.at(stage.key), spec);
  if (stage_key(spec) != stage.key) {
    audit.violations.push_back({"key", stage.key + " is not the key of its own text"});
  }
  switch (stage.state) {
    case StageState::kDone:
      check_done(campaign, trunks, stage, audit);
      break;
    case StageState::kStopped:
      ++audit.stopped;
      break;
    case StageState::kFailed:
      ++audit.failed;
      break;
    case StageState::kPending:
      ++audit.pending;
      break;
    case StageState::kRunning:
      ++audit.pending;
      if (stage.gang == 0 || stage.epoch == 0) {
        audit.violations.push_back({"lease", stage.key + " runs without a lease"});
      }
      break;
  }
}

void check_strays(const Campaign& campaign, Audit& audit) {
  const std::string artifacts = campaign.directory + "/artifacts";
  if (!path_exists(artifacts)) {
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(artifacts)) {
    const std::string key = entry.path().filename().string();
    if (!key.starts_with(".") && !campaign.stages.contains(key)) {
      audit.violations.push_back({"artifact", key + " belongs to no stage"});
    }
  }
}

}  // namespace

Audit audit_campaign(const Campaign& campaign) {
  Audit audit;
  std::set<std::string> planned;
  for (const PlannedTrial& trial : campaign.trials) {
    planned.insert(trial.stages.begin(), trial.stages.end());
  }
  for (const auto& [key, stage] : campaign.stages) {
    if (stage.label == "trunk") {  // a means of trials: none names it
      planned.insert(key);
    }
  }
  audit.planned = static_cast<std::int64_t>(planned.size());
  const TrunkTotals trunks = trunk_totals(campaign);
  for (const auto& [key, stage] : campaign.stages) {
    if (planned.contains(key)) {
      check_stage(campaign, trunks, stage, audit);
    } else {
      audit.violations.push_back({"plan", key + " is in the store, but no trial plans it"});
    }
  }
  for (const std::string& key : campaign.twice) {
    audit.violations.push_back({"plan", key + " is in the store twice"});
  }
  if (audit.planned != audit.committed + audit.stopped + audit.failed + audit.pending) {
    audit.violations.push_back({"sum", "planned " + std::to_string(audit.planned) +
                                           " is not committed + stopped + failed + pending"});
  }
  check_strays(campaign, audit);
  return audit;
}

std::string audit_json(const Audit& audit) {
  nlohmann::json violations = nlohmann::json::array();
  for (const Violation& violation : audit.violations) {
    violations.push_back({{"rule", violation.rule}, {"what", violation.what}});
  }
  return nlohmann::json{{"planned", audit.planned},         {"committed", audit.committed},
                        {"stopped", audit.stopped},         {"failed", audit.failed},
                        {"pending", audit.pending},         {"train_tokens", audit.train_tokens},
                        {"train_flops", audit.train_flops}, {"violations", violations},
                        {"ok", audit.violations.empty()}}
      .dump(1);
}

}  // namespace finescale
