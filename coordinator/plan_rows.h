// SPDX-License-Identifier: Apache-2.0
// The rows of a plan in the store: what is new or differs is written, stages that the store knows
// keep their state, and those that nothing needs any more are stopped. Called in a transaction.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "coordinator/artifacts.h"
#include "coordinator/load_order.h"
#include "coordinator/plan.h"
#include "coordinator/stage_entries.h"
#include "coordinator/store.h"

namespace finescale {

// By key. Throws kCheckpoint when one is there twice; `directory` is for people.
[[nodiscard]] StoredStages stored_stages(Store& store, const std::string& directory);

class PlanRows {
 public:
  // All of it must outlive the rows. `stopped`: names of trials.
  PlanRows(Store& store, Artifacts& artifacts, const Plan& plan,
           const std::vector<std::string>& stopped)
      : store_(store), artifacts_(artifacts), plan_(plan), stopped_(stopped) {}

  // The stages of these places as they are stored now, taken from `stored` where they are known
  // there; one that the coordinator has (`known`) gets no key.
  [[nodiscard]] std::vector<StoredStage> put_stages(const StageEntries& known,
                                                    const std::vector<StagePlace>& places,
                                                    StoredStages& stored);
  // Trunks of an earlier plan that nothing starts from now.
  void stop_unplanned(StoredStages& stored);

 private:
  [[nodiscard]] std::set<std::string> needed_stages() const;
  void put_stage(StagePlace place, std::int64_t form, bool is_needed, StoredStage& stage);
  void settle(StoredStage& stage, bool is_needed) const;

  Store& store_;
  Artifacts& artifacts_;
  const Plan& plan_;
  const std::vector<std::string>& stopped_;
};

}  // namespace finescale
