// SPDX-License-Identifier: Apache-2.0
// Which stages of a plan a coordinator takes up, as the plan grows: inputs first, and of the trunks
// those that something starts from. One thread.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/plan.h"
#include "coordinator/store.h"

namespace finescale {

using StoredStages = std::unordered_map<std::string, StoredStage>;  // by key

class LoadOrder {
 public:
  // Behind a plan that is made anew.
  void begin_again();
  // Nothing of the plan was taken up.
  [[nodiscard]] bool is_first() const noexcept { return num_stages_ == 0; }
  [[nodiscard]] std::size_t num_trials() const noexcept { return num_trials_; }

  // What is new in the plan, and trunks that were left out and are needed now. `stored`: what the
  // store has, for the first plan.
  [[nodiscard]] std::vector<StagePlace> next(const StageGraph& graph, const StoredStages& stored);
  // Trunks in front of this stage that were left out, since it must be made again.
  [[nodiscard]] std::vector<StagePlace> inputs_left_out(const StageGraph& graph, StagePlace stage);
  // Of each new stage the trial that names it, or for a trunk one that starts from it; by place. A
  // number behind all trials: none.
  [[nodiscard]] std::vector<std::size_t> first_trials(const Plan& plan) const;
  // All of the plan is taken up.
  void taken_up(const Plan& plan);

 private:
  void want(const StageGraph& graph, StagePlace stage, std::vector<StagePlace>& wanted);

  std::size_t num_stages_ = 0;  // of the graph's order, and of the trials
  std::size_t num_trials_ = 0;
  std::set<StagePlace> left_out_;  // trunks that nothing has needed so far
};

}  // namespace finescale
