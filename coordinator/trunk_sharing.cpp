// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trunk_sharing.h"

#include <algorithm>
#include <utility>

#include "configs/trunks.h"
#include "coordinator/plan.h"

namespace finescale {

namespace {

// As it was before it started from a trunk.
struct Run {
  const PlannedForm* trunk_form;
  std::vector<StagePlace> inputs;
  std::int64_t seed;
};

// A trunk for `budget` like that of `run`, going on from the one in front of it, if any.
StagePlace add_trunk(SpecTable& stages, const Run& run, std::int64_t budget, StagePlace before) {
  const auto [trunk, is_new] = stages.put(*run.trunk_form, run.inputs, budget, run.seed);
  if (is_new && before != kNoStage) {
    stages.start_from(trunk, before);
  }
  return trunk;
}

// New trunks in front of the first stage that starts from them.
void order_again(StageGraph& graph, std::size_t first, std::set<StagePlace> unplaced) {
  const std::vector<StagePlace> stages(graph.order.begin() + static_cast<std::ptrdiff_t>(first),
                                       graph.order.end());
  graph.order.resize(first);
  for (const StagePlace stage : stages) {
    std::vector<StagePlace> chain;
    for (StagePlace at = graph.stages.start(stage); unplaced.erase(at) > 0;
         at = graph.stages.start(at)) {
      chain.push_back(at);
    }
    graph.order.insert(graph.order.end(), chain.rbegin(), chain.rend());
    graph.order.push_back(stage);
  }
}

}  // namespace

void TrunkSharing::share(StageGraph& graph, std::size_t first, const std::set<StagePlace>& whole) {
  std::map<Family, Runs> families;
  for (std::size_t i = first; i < graph.order.size(); ++i) {
    if (!whole.contains(graph.order[i])) {
      collect(graph, graph.order[i], families);
    }
  }
  std::set<StagePlace> made;
  for (const auto& [family, runs] : families) {
    share_family(graph, runs, trunks_[family], made);
  }
  order_again(graph, first, std::move(made));
}

void TrunkSharing::collect(StageGraph& graph, StagePlace stage, std::map<Family, Runs>& families) {
  const PlannedForm& form = graph.stages.form(stage);
  if (!form.form.has_budget()) {
    return;
  }
  const config::StageSpec& spec = form.form.example();
  const std::string why = why_no_trunk(spec.train().train());
  const std::int64_t budget = graph.stages.budget(stage);
  if (why.empty()) {
    const Family family(graph.stages.trunk_form(form).number, graph.stages.seed(stage),
                        graph.stages.inputs(stage));
    families[family][budget].push_back(stage);
  } else {
    apart_[{spec.label(), why}].insert(budget);
  }
}

// A chain: each trunk goes on from the one of the next smaller budget.
void TrunkSharing::share_family(StageGraph& graph, const Runs& runs,
                                std::map<std::int64_t, StagePlace>& trunks,
                                std::set<StagePlace>& made) {
  const StagePlace first = runs.begin()->second.front();
  const Run model{&graph.stages.trunk_form(graph.stages.form(first)), graph.stages.inputs(first),
                  graph.stages.seed(first)};
  const std::string label = graph.stages.form(first).form.example().label();
  const bool later = label == later_.stage;
  std::size_t reaching = 0;  // runs of this budget and larger ones
  std::set<std::int64_t> budgets;
  for (const auto& [budget, stages] : runs) {
    reaching += stages.size();
    budgets.insert(budget);
  }
  const std::int64_t largest = runs.rbegin()->first;
  for (const auto& [budget, trunk] : trunks) {
    budgets.insert(budget);
  }
  if (later) {
    budgets.insert(later_.budgets.begin(), later_.budgets.end());
  }
  Count& count = shared_[label];
  StagePlace trunk = kNoStage;
  for (const std::int64_t budget : budgets) {
    if (budget > largest) {
      break;
    }
    const bool wanted_later = later && budget < *later_.budgets.rbegin();
    if (const auto known = trunks.find(budget); known != trunks.end()) {
      trunk = known->second;
    } else if (reaching > 1 || wanted_later) {
      trunk = trunks[budget] = add_trunk(graph.stages, model, budget, trunk);
      made.insert(trunk);
      ++count.trunks;
    }
    const auto here = runs.find(budget);
    for (const StagePlace run : here == runs.end() ? std::vector<StagePlace>() : here->second) {
      if (trunk != kNoStage) {
        graph.stages.start_from(run, trunk);
        ++count.runs;
      }
    }
    reaching -= here == runs.end() ? 0 : here->second.size();
  }
}

std::vector<SharingNote> TrunkSharing::notes() const {
  std::vector<SharingNote> notes;
  for (const auto& [label, count] : shared_) {
    if (count.runs + count.trunks > 0) {
      notes.push_back({label, count.runs, count.trunks, ""});
    }
  }
  for (const auto& [label_and_why, budgets] : apart_) {
    if (budgets.size() > 1) {
      notes.push_back({label_and_why.first, static_cast<std::int64_t>(budgets.size()), 0,
                       label_and_why.second});
    }
  }
  return notes;
}

}  // namespace finescale
