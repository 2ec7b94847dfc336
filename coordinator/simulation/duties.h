// SPDX-License-Identifier: Apache-2.0
// What a simulated gang does for each stage: how long it works and what it reports.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/campaign_book.h"
#include "coordinator/reactor.h"
#include "coordinator/simulation/simulated_cluster.h"

namespace finescale {

class Duties {
 public:
  Duties(const config::Sweep& sweep, double examples_per_second);

  // Takes in the stages that were planned since the last time.
  void learn(const CampaignBook& book, const Reactor& reactor);
  // Another coordinator may plan in another order.
  void forget_order() {
    learnt_ = known_ = 0;
    unneeded_.clear();
  }
  [[nodiscard]] StageDuty of(const std::string& key) const;
  [[nodiscard]] double seconds(const std::string& key) const { return seconds_of(duties_.at(key)); }
  // What a stage's result must say was trained on from the beginning to its end.
  [[nodiscard]] std::int64_t tokens(const std::string& key) const;
  // Of the chain of stages that takes longest.
  [[nodiscard]] double longest_chain() const noexcept { return longest_chain_; }

 private:
  struct Duty {
    double work_before = 0;
    double work = 0;
    bool trains = false;
    double measured = 0;  // value of an evaluation
    double ends_at = 0;   // in a world of as many gangs as stages
  };

  [[nodiscard]] double seconds_of(const Duty& duty) const;

  double examples_per_second_;
  std::vector<std::pair<std::string, std::string>> metrics_;  // set, metric
  std::unordered_map<std::string, Duty> duties_;
  std::size_t learnt_ = 0;
  std::size_t known_ = 0;              // stages of the reactor then
  std::vector<std::size_t> unneeded_;  // places in the order whose stages it did not have
  double longest_chain_ = 0;
};

}  // namespace finescale
