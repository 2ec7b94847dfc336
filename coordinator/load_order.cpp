// SPDX-License-Identifier: Apache-2.0
#include "coordinator/load_order.h"

#include <limits>

namespace finescale {

namespace {

// Trunks that a plan of all trials at once would have, but that no stage still to be run reads:
// trials that were planned one after another have run without them.
std::set<StagePlace> unwanted_trunks(const StageGraph& graph, const StoredStages& stored) {
  std::set<StagePlace> unwanted;
  if (stored.empty()) {
    return unwanted;
  }
  std::vector<bool> read(graph.stages.size(), false);
  for (auto place = graph.order.rbegin(); place != graph.order.rend(); ++place) {  // readers first
    const auto known = stored.find(graph.stages.key(*place));
    const bool is_trunk = graph.stages.form(*place).form.example().train().trunk();
    if (known == stored.end() && !read[static_cast<std::size_t>(*place)] && is_trunk) {
      unwanted.insert(*place);
    } else if (known == stored.end() || known->second.state != StageState::kDone) {
      for (const StagePlace input : graph.stages.inputs(*place)) {
        read[static_cast<std::size_t>(input)] = true;
      }
    }
  }
  return unwanted;
}

}  // namespace

void LoadOrder::begin_again() {
  num_stages_ = 0;
  num_trials_ = 0;
}

std::vector<StagePlace> LoadOrder::next(const StageGraph& graph, const StoredStages& stored) {
  if (is_first()) {
    left_out_ = unwanted_trunks(graph, stored);
  }
  std::vector<StagePlace> wanted;
  for (std::size_t i = num_stages_; i < graph.order.size(); ++i) {
    if (!is_first() || !left_out_.contains(graph.order[i])) {
      want(graph, graph.order[i], wanted);
    }
  }
  return wanted;
}

std::vector<StagePlace> LoadOrder::inputs_left_out(const StageGraph& graph, StagePlace stage) {
  std::vector<StagePlace> wanted;
  for (const StagePlace input : graph.stages.inputs(stage)) {
    if (left_out_.erase(input) > 0) {
      want(graph, input, wanted);
    }
  }
  return wanted;
}

void LoadOrder::want(const StageGraph& graph, StagePlace stage, std::vector<StagePlace>& wanted) {
  if (!is_first()) {  // a first plan leaves them out for good: who starts from them is done
    for (const StagePlace input : graph.stages.inputs(stage)) {
      if (left_out_.erase(input) > 0) {
        want(graph, input, wanted);
      }
    }
  }
  wanted.push_back(stage);
}

std::vector<std::size_t> LoadOrder::first_trials(const Plan& plan) const {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  const StageGraph& graph = plan.graph;
  std::vector<std::size_t> first(graph.stages.size(), kNone);
  for (std::size_t i = plan.trials.size(); i-- > num_trials_;) {
    for (const std::string& key : plan.trials[i].stages) {
      first[static_cast<std::size_t>(graph.stages.place(key))] = i;
    }
  }
  for (std::size_t i = graph.order.size(); i-- > num_stages_;) {
    const std::size_t trial = first[static_cast<std::size_t>(graph.order[i])];
    for (const StagePlace input : graph.stages.inputs(graph.order[i])) {
      std::size_t& known = first[static_cast<std::size_t>(input)];
      known = known == kNone ? trial : known;
    }
  }
  return first;
}

void LoadOrder::taken_up(const Plan& plan) {
  num_stages_ = plan.graph.order.size();
  num_trials_ = plan.trials.size();
}

}  // namespace finescale
