// SPDX-License-Identifier: Apache-2.0
#include "configs/stage_links.h"

#include <algorithm>
#include <map>

#include "configs/nearest_name.h"

namespace finescale {

namespace {

constexpr const char* kBase = "base";

std::optional<LinkFault> fault_of(const config::Trial& trial, int index, int from) {
  const config::Stage& stage = trial.stages(index);
  const std::string& name = stage.from(from);
  std::vector<std::string> earlier = {kBase};
  for (int i = 0; i < index; ++i) {
    earlier.push_back(trial.stages(i).name());
  }
  if (std::find(earlier.begin(), earlier.end(), name) != earlier.end()) {
    return std::nullopt;
  }
  LinkFault fault{index, from, "", "a stage reads what stands before it: " + joined(earlier)};
  const bool is_later =
      std::any_of(trial.stages().begin() + index + 1, trial.stages().end(),
                  [&](const config::Stage& other) { return other.name() == name; });
  fault.what = name == stage.name() ? "the stage reads itself"
               : is_later           ? name + " comes later"
                          : "no earlier stage is called " + name + did_you_mean(name, earlier);
  return fault;
}

}  // namespace

bool leaves_data(const config::Stage& stage) {
  return stage.has_generate() || stage.has_score() || stage.has_select();
}

std::vector<std::string> stage_metrics(const config::Stage& stage) {
  if (stage.has_generate()) {
    return {"examples", "accuracy", "format_error", "step_error", "answer_error"};
  }
  if (stage.has_score()) {
    return {"loss"};
  }
  return stage.has_select() ? std::vector<std::string>{"examples"} : std::vector<std::string>();
}

std::optional<LinkFault> find_link_fault(const config::Trial& trial) {
  for (int i = 0; i < trial.stages_size(); ++i) {
    if (trial.stages(i).from_size() > 2) {
      return LinkFault{i, 2, "more than two inputs", "a stage takes one model and one set of data"};
    }
    for (int f = 0; f < trial.stages(i).from_size(); ++f) {
      if (auto fault = fault_of(trial, i, f)) {
        return fault;
      }
    }
  }
  return std::nullopt;
}

std::vector<StageLinks> stage_links(const config::Trial& trial) {
  std::vector<StageLinks> links;
  std::map<std::string, StageLinks> outputs = {{kBase, {}}};
  StageLinks last;
  for (int i = 0; i < trial.stages_size(); ++i) {
    const config::Stage& stage = trial.stages(i);
    StageLinks in = last;
    if (stage.from_size() > 0) {
      in = {outputs[stage.from(0)].model, outputs[stage.from(stage.from_size() - 1)].data};
    }
    links.push_back(in);
    last = in;
    if (stage.has_train()) {  // data are learnt from once
      last = {i, -1};
    } else if (leaves_data(stage)) {
      last.data = i;
    }
    outputs[stage.name()] = last;
  }
  return links;
}

DataFacts data_facts(const config::Sweep& sweep, const std::vector<StageLinks>& links, int index) {
  if (index < 0) {
    DataFacts facts;
    const config::Dataset& pool = sweep.data().train();
    if (pool.has_task()) {
      facts.task = &pool.task();
      facts.is_pairs = pool.task().pairs();
      facts.at_most = std::min(pool.task().examples(),
                               pool.has_limit() ? pool.limit() : pool.task().examples());
    }
    return facts;
  }
  const config::Stage& stage = sweep.trial().stages(index);
  DataFacts facts = data_facts(sweep, links, links[static_cast<std::size_t>(index)].data);
  if (stage.has_generate()) {
    const config::Generate& generate = stage.generate();
    if (generate.has_data_budget()) {
      facts.at_most =
          facts.at_most ? std::min(*facts.at_most, generate.data_budget()) : generate.data_budget();
    }
    facts.at_most =
        facts.at_most ? std::optional(*facts.at_most * generate.samples()) : std::nullopt;
    facts.is_generated = true;
    facts.has_losses = facts.is_pairs = false;
  } else if (stage.has_score()) {
    facts.has_losses = true;
  } else if (stage.select().has_pairs()) {
    facts.is_pairs = true;
    facts.has_losses = false;
  } else if (stage.select().has_random()) {
    facts.at_most = stage.select().random().examples();
  }
  return facts;
}

}  // namespace finescale
