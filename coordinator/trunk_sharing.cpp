// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trunk_sharing.h"

#include <algorithm>
#include <utility>

#include "configs/canonical.h"
#include "configs/trunks.h"
#include "coordinator/plan.h"

namespace finescale {

namespace {

// Runs of one family differ in their budget, and in what matters behind their trunk only.
std::string family_of(const config::StageSpec& spec) {
  config::StageSpec copy = spec;
  copy.mutable_train()->mutable_train()->clear_data_budget();
  return trunk_of(copy).key();
}

void start_from(StageGraph& graph, const std::string& key, const std::string& trunk) {
  config::StageSpec spec = graph.stages.at(key);
  spec.mutable_train()->set_start(trunk);
  spec.add_inputs(trunk);
  graph.stages.put(spec);
  graph.inputs.at(key).push_back(trunk);
}

// A trunk for `budget` like that of `run`, going on from the one in front of it, if any.
std::string add_trunk(StageGraph& graph, config::StageSpec run, std::int64_t budget,
                      const std::string& before) {
  run.mutable_train()->mutable_train()->set_data_budget(budget);
  const config::StageSpec spec = trunk_of(run);
  const std::string& key = spec.key();
  graph.inputs[key] = {spec.inputs().begin(), spec.inputs().end()};
  graph.stages.put(spec);
  if (!before.empty()) {
    start_from(graph, key, before);
  }
  return key;
}

// New trunks in front of the first stage that starts from them.
void order_again(StageGraph& graph, std::size_t first, std::set<std::string> unplaced) {
  const std::vector<std::string> stages(graph.order.begin() + static_cast<std::ptrdiff_t>(first),
                                        graph.order.end());
  graph.order.resize(first);
  for (const std::string& key : stages) {
    std::vector<std::string> chain;
    for (std::string at = graph.stages.start(key); unplaced.erase(at) > 0;
         at = graph.stages.start(at)) {
      chain.push_back(at);
    }
    graph.order.insert(graph.order.end(), chain.rbegin(), chain.rend());
    graph.order.push_back(key);
  }
}

}  // namespace

void TrunkSharing::share(StageGraph& graph, std::size_t first, const std::set<std::string>& whole) {
  std::map<std::string, Runs> families;
  for (std::size_t i = first; i < graph.order.size(); ++i) {
    if (!whole.contains(graph.order[i])) {
      collect(graph, graph.order[i], families);
    }
  }
  std::set<std::string> made;
  for (const auto& [family, runs] : families) {
    share_family(graph, runs, trunks_[family], made);
  }
  order_again(graph, first, std::move(made));
}

void TrunkSharing::collect(const StageGraph& graph, const std::string& key,
                           std::map<std::string, Runs>& families) {
  const config::StageSpec& spec = graph.stages.at(key);
  const config::Train& train = spec.train().train();
  if (!spec.has_train() || !train.has_data_budget()) {
    return;
  }
  const std::string why = why_no_trunk(train);
  if (why.empty()) {
    families[family_of(spec)][train.data_budget()].push_back(key);
  } else {
    apart_[{spec.label(), why}].insert(train.data_budget());
  }
}

// A chain: each trunk goes on from the one of the next smaller budget.
void TrunkSharing::share_family(StageGraph& graph, const Runs& runs,
                                std::map<std::int64_t, std::string>& trunks,
                                std::set<std::string>& made) {
  const config::StageSpec model = graph.stages.at(runs.begin()->second.front());
  const bool later = model.label() == later_.stage;
  std::size_t reaching = 0;  // runs of this budget and larger ones
  std::set<std::int64_t> budgets;
  for (const auto& [budget, keys] : runs) {
    reaching += keys.size();
    budgets.insert(budget);
  }
  const std::int64_t largest = runs.rbegin()->first;
  for (const auto& [budget, key] : trunks) {
    budgets.insert(budget);
  }
  if (later) {
    budgets.insert(later_.budgets.begin(), later_.budgets.end());
  }
  std::string trunk;
  for (const std::int64_t budget : budgets) {
    if (budget > largest) {
      break;
    }
    const bool wanted_later = later && budget < *later_.budgets.rbegin();
    if (const auto known = trunks.find(budget); known != trunks.end()) {
      trunk = known->second;
    } else if (reaching > 1 || wanted_later) {
      trunk = trunks[budget] = add_trunk(graph, model, budget, trunk);
      made.insert(trunk);
      ++shared_[model.label()].trunks;
    }
    const auto here = runs.find(budget);
    for (const std::string& key : here == runs.end() ? std::vector<std::string>() : here->second) {
      if (!trunk.empty()) {
        start_from(graph, key, trunk);
        ++shared_[model.label()].runs;
      }
    }
    reaching -= here == runs.end() ? 0 : here->second.size();
  }
}

std::vector<SharingNote> TrunkSharing::notes() const {
  std::vector<SharingNote> notes;
  for (const auto& [label, count] : shared_) {
    notes.push_back({label, count.runs, count.trunks, ""});
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
