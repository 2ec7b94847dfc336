// SPDX-License-Identifier: Apache-2.0
// A campaign directory read for people: from a private copy of the store, so that a live
// coordinator keeps its lock.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "comm/proto/result.pb.h"
#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"
#include "coordinator/results.h"
#include "coordinator/scaling/study.h"
#include "coordinator/store.h"

namespace finescale {

struct Campaign {
  std::string directory;
  config::Sweep sweep;
  CampaignInfo info;
  std::vector<PlannedTrial> trials;
  std::vector<std::string> stopped;
  std::map<std::string, StoredStage> stages;
  std::map<std::string, std::string> specs;           // canonical text of the stages
  std::set<std::string> pruned;                       // done, their checkpoint deleted
  std::vector<std::string> twice;                     // keys that the store has more than once
  std::map<std::string, proto::StageResult> results;  // of committed stages, step tables included
  std::vector<TrialRow> rows;                         // same order as trials
};

// Throws kConfig when the directory holds no campaign.
[[nodiscard]] Campaign read_campaign(const std::string& directory);

// Points for the laws: one per done trial that is no tuning trial.
[[nodiscard]] std::vector<LawPoint> law_points(const Campaign& campaign, const std::string& metric);
[[nodiscard]] StudyOptions study_options(const Campaign& campaign);

// The value of an axis in short words: {lora: {rank: 8}} -> lora rank 8; {full: {}} -> full.
[[nodiscard]] std::string short_value(const std::string& value);

}  // namespace finescale
