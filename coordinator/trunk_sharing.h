// SPDX-License-Identifier: Apache-2.0
// Runs that differ in their data budget alone begin alike: they are rewritten to go on from a chain
// of trunk stages, one for each budget, so that every update is done once (docs/trunks.md). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "coordinator/spec_table.h"

namespace finescale {

struct StageGraph;

// Runs of a stage that share trunks, or why they cannot.
struct SharingNote {
  std::string stage;      // label
  std::int64_t runs = 0;  // with why_not: budgets
  std::int64_t trunks = 0;
  std::string why_not;  // "": they share
};

// Budgets of a stage that later trials may want (a search that promotes): each ends in a trunk.
struct LaterBudgets {
  std::string stage;
  std::set<std::int64_t> budgets;
};

class TrunkSharing {
 public:
  explicit TrunkSharing(LaterBudgets later) : later_(std::move(later)) {}

  // Lets the train stages behind place `first` of the graph's order start from trunks, which are
  // added in front of them; stages keep their keys. A trunk is made for a budget that two or more
  // of these runs reach, or that later ones may. Stages in `whole` are left alone.
  void share(StageGraph& graph, std::size_t first, const std::set<StagePlace>& whole);
  [[nodiscard]] std::vector<SharingNote> notes() const;

 private:
  using Runs = std::map<std::int64_t, std::vector<StagePlace>>;  // by budget
  // Runs of one family differ in their budget, and in what matters behind their trunk only: form of
  // the trunk, seed, inputs.
  using Family = std::tuple<std::int64_t, std::int64_t, std::vector<StagePlace>>;

  void collect(StageGraph& graph, StagePlace stage, std::map<Family, Runs>& families);
  void share_family(StageGraph& graph, const Runs& runs, std::map<std::int64_t, StagePlace>& trunks,
                    std::set<StagePlace>& made);

  struct Count {
    std::int64_t runs = 0;
    std::int64_t trunks = 0;
  };
  LaterBudgets later_;
  std::map<Family, std::map<std::int64_t, StagePlace>> trunks_;                  // by budget
  std::map<std::string, Count> shared_;                                          // by label
  std::map<std::pair<std::string, std::string>, std::set<std::int64_t>> apart_;  // label, why
};

}  // namespace finescale
