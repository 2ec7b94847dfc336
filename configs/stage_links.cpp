// SPDX-License-Identifier: Apache-2.0
#include "configs/stage_links.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "configs/dataset_refs.h"
#include "configs/named_data.h"
#include "configs/nearest_name.h"
#include "configs/rounds.h"

namespace finescale {

namespace {

constexpr const char* kBase = "base";

const std::string& teacher_of(const config::Stage& stage) {
  return stage.train().objective().distill().teacher();
}

bool names_teacher(const config::Stage& stage) {
  return stage.train().objective().distill().has_teacher() && !is_model_path(teacher_of(stage));
}

// from: -1: of the teacher.
std::optional<LinkFault> fault_of(const config::Trial& trial, int index, int from) {
  const config::Stage& stage = trial.stages(index);
  const std::string& name = from < 0 ? teacher_of(stage) : stage.from(from);
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

std::optional<LinkFault> teacher_fault(const config::Trial& trial, int index) {
  if (!names_teacher(trial.stages(index))) {
    return std::nullopt;
  }
  if (auto fault = fault_of(trial, index, -1)) {
    fault->hint = "a teacher is an earlier stage, base, or the path of a model with a / in it";
    return fault;
  }
  const std::string& name = teacher_of(trial.stages(index));
  for (const config::Stage& other : trial.stages()) {
    if (other.name() == name && !other.has_train() && !other.has_transform()) {
      return LinkFault{index, -1, name + " leaves no model", "name a train or transform stage"};
    }
  }
  return std::nullopt;
}

}  // namespace

bool is_model_path(const std::string& teacher) {
  return teacher.find('/') != std::string::npos || teacher.ends_with(".gguf");
}

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
    if (trial.stages(i).from_size() > 2 && !trial.stages(i).has_transform()) {
      return LinkFault{i, 2, "more than two inputs", "a stage takes one model and one set of data"};
    }
    for (int f = 0; f < trial.stages(i).from_size(); ++f) {
      if (auto fault = fault_of(trial, i, f)) {
        return fault;
      }
    }
    if (auto fault = teacher_fault(trial, i)) {
      return fault;
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
      in.model = outputs[stage.from(0)].model;
      in.data = outputs[stage.from(stage.from_size() - 1)].data;
    }
    last = in;
    if (stage.has_transform()) {
      in.models = {in.model};
      for (int m = 1; m < stage.from_size(); ++m) {
        in.models.push_back(outputs[stage.from(m)].model);
      }
    }
    if (names_teacher(stage)) {
      in.teacher = outputs[teacher_of(stage)].model;
    }
    if (const std::string& asked = data_asked_by(stage); !asked.empty()) {
      in.data = -1;
      in.set = asked;
    }
    links.push_back(in);
    if (stage.has_train()) {  // data are learnt from once
      last.model = i;
      last.data = -1;
    } else if (stage.has_transform()) {
      last.model = i;
    } else if (leaves_data(stage)) {
      last.data = i;
    }
    outputs[stage.name()] = last;
  }
  return links;
}

namespace {

using Links = std::vector<StageLinks>;

void bound(DataFacts& facts, std::int64_t most) {
  facts.at_most = std::min(facts.at_most.value_or(most), most);
}

DataFacts task_facts(const config::Dataset& dataset) {
  DataFacts facts;
  facts.task = &dataset.task();
  facts.is_form_known = true;
  facts.is_pairs = dataset.task().pairs();
  facts.at_most = dataset.task().examples();
  if (dataset.has_limit()) {
    bound(facts, dataset.limit());
  }
  return facts;
}

// What all parts have in common.
DataFacts mixture_facts(const config::Sweep& sweep, const Links& links, const config::Mixture& mix,
                        const FileFacts& files) {
  DataFacts facts;
  bool is_first = true;
  std::string task;
  for (const config::MixPart& part : mix.parts()) {
    const DataFacts one =
        dataset_facts(sweep, links, *find_dataset(sweep.data(), part.data()), files);
    const std::string its_task = one.task == nullptr ? "" : same_task_text(*one.task);
    if (is_first) {
      facts = one;
      facts.at_most.reset();
      task = its_task;
    }
    facts.task = its_task == task ? facts.task : nullptr;
    facts.is_form_known =
        facts.is_form_known && one.is_form_known && one.is_pairs == facts.is_pairs;
    facts.is_generated = facts.is_generated && one.is_generated;
    facts.has_losses = facts.has_losses && one.has_losses;
    is_first = false;
  }
  facts.task = mix.has_replay() ? nullptr : facts.task;
  if (mix.has_examples() && !mix.has_replay()) {
    facts.at_most = mix.examples();
  }
  return facts;
}

void change_facts(const config::Operator& change, DataFacts& facts) {
  facts.task = keeps_verifier(change) ? facts.task : nullptr;
  if (change.has_sample() && change.sample().has_examples()) {
    facts.at_most = change.sample().examples();
  } else if (change.has_top() && change.top().has_examples()) {
    bound(facts, change.top().examples());
  } else if (change.has_sample() || change.has_top()) {
    const double part = change.has_sample() ? change.sample().fraction() : change.top().fraction();
    if (facts.at_most) {
      facts.at_most = std::llround(part * static_cast<double>(*facts.at_most));
    }
  } else if (change.join().many()) {
    facts.at_most.reset();
  } else if (change.has_template_()) {
    const config::Template& text = change.template_();
    facts.is_form_known =
        facts.is_form_known || text.has_response() || text.has_text() || text.has_chosen();
    facts.is_pairs =
        text.has_chosen() || (facts.is_pairs && !text.has_response() && !text.has_text());
  }
}

DataFacts stage_facts(const config::Sweep& sweep, const Links& links, int index,
                      const FileFacts& files);

int stage_called(const config::Trial& trial, const std::string& name) {
  for (int i = 0; i < trial.stages_size(); ++i) {
    if (name_without_round(trial.stages(i).name()) == name) {
      return i;
    }
  }
  return -1;
}

}  // namespace

DataFacts dataset_facts(const config::Sweep& sweep, const Links& links,
                        const config::Dataset& dataset, const FileFacts& files) {
  DataFacts facts;
  if (dataset.has_task()) {
    facts = task_facts(dataset);
  } else if (dataset.has_from()) {
    facts = dataset_facts(sweep, links, *find_dataset(sweep.data(), dataset.from()), files);
  } else if (dataset.has_stage()) {
    facts = stage_facts(sweep, links, stage_called(sweep.trial(), dataset.stage()), files);
  } else if (dataset.has_mix()) {
    facts = mixture_facts(sweep, links, dataset.mix(), files);
  } else if (files && dataset.path_size() > 0) {
    facts = files(dataset);
  }
  for (const config::Operator& change : dataset.apply()) {
    change_facts(change, facts);
  }
  return facts;
}

DataFacts data_facts(const config::Sweep& sweep, const Links& links, const StageLinks& link,
                     const FileFacts& files) {
  return !link.set.empty()
             ? dataset_facts(sweep, links, *find_dataset(sweep.data(), link.set), files)
         : link.data < 0 ? dataset_facts(sweep, links, sweep.data().train(), files)
                         : stage_facts(sweep, links, link.data, files);
}

namespace {

DataFacts stage_facts(const config::Sweep& sweep, const Links& links, int index,
                      const FileFacts& files) {
  const config::Stage& stage = sweep.trial().stages(index);
  DataFacts facts = data_facts(sweep, links, links[static_cast<std::size_t>(index)], files);
  facts.is_form_known = true;
  if (stage.has_generate()) {
    const config::Generate& generate = stage.generate();
    if (generate.has_data_budget()) {
      bound(facts, generate.data_budget());
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

}  // namespace

}  // namespace finescale
