// SPDX-License-Identifier: Apache-2.0
#include "coordinator/spec_table.h"

#include "configs/trunks.h"
#include "coordinator/stage_work.h"
#include "core/error.h"

namespace finescale {

namespace {

const std::string kTrunkKey(32, 't');  // in the form of a run that starts from one

}  // namespace

SpecTable::SpecTable(const SpecTable& other) : stages_(other.stages_), places_(other.places_) {
  forms_.reserve(other.forms_.size());
  for (const auto& form : other.forms_) {
    forms_.push_back(std::make_unique<PlannedForm>(*form));
  }
  for (const auto& form : forms_) {
    form->trunk = same_form(form->trunk);
    form->started = same_form(form->started);
  }
  for (const auto& [text, form] : other.forms_by_text_) {
    forms_by_text_.emplace(text, forms_[static_cast<std::size_t>(form->number)].get());
  }
  for (const auto& [key, place] : places_) {
    stages_[static_cast<std::size_t>(place)].key = &key;
  }
  for (Planned& stage : stages_) {
    stage.form = same_form(stage.form);
  }
}

const PlannedForm& SpecTable::form_of(const config::StageSpec& spec) {
  auto form = std::make_unique<PlannedForm>(spec);
  const auto [place, is_new] = forms_by_text_.try_emplace(form->form.text(), form.get());
  if (is_new) {
    form->number = static_cast<std::int64_t>(forms_.size());
    forms_.push_back(std::move(form));
  }
  return *place->second;
}

const PlannedForm& SpecTable::trunk_form(const PlannedForm& run) {
  if (run.trunk == nullptr) {
    const PlannedForm& trunk = form_of(trunk_of(run.form.example()));
    forms_[static_cast<std::size_t>(run.number)]->trunk = &trunk;
  }
  return *run.trunk;
}

const PlannedForm& SpecTable::started_form(const PlannedForm& run) {
  if (run.started == nullptr) {
    config::StageSpec spec = run.form.example();
    spec.mutable_train()->set_start(kTrunkKey);
    spec.add_inputs(kTrunkKey);
    const PlannedForm& started = form_of(spec);
    forms_[static_cast<std::size_t>(run.number)]->started = &started;
  }
  return *run.started;
}

std::pair<StagePlace, bool> SpecTable::put(const PlannedForm& form,
                                           const std::vector<StagePlace>& inputs,
                                           std::int64_t budget, std::int64_t seed) {
  Planned stage{nullptr, &form, budget, seed, kNoStage, inputs};
  const auto next = static_cast<StagePlace>(stages_.size());
  const auto [place, is_new] = places_.try_emplace(form.form.key(blanks(stage)), next);
  if (is_new) {
    stage.key = &place->first;
    stages_.push_back(std::move(stage));
  }
  return {place->second, is_new};
}

std::pair<StagePlace, bool> SpecTable::put(const config::StageSpec& spec) {
  if (const auto known = find(spec.key())) {
    return {*known, false};
  }
  std::vector<StagePlace> inputs;
  for (const std::string& input : spec.inputs()) {
    inputs.push_back(place(input));
  }
  return put(form_of(spec), inputs, spec.train().train().data_budget(), stage_seed(spec));
}

void SpecTable::start_from(StagePlace stage, StagePlace trunk) {
  Planned& planned = stages_[static_cast<std::size_t>(stage)];
  planned.form = &started_form(*planned.form);
  planned.inputs.push_back(trunk);
  planned.start = trunk;
}

std::optional<StagePlace> SpecTable::find(const std::string& key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? std::nullopt : std::optional(found->second);
}

StagePlace SpecTable::place(const std::string& key) const {
  const auto found = places_.find(key);
  FS_CHECK(found != places_.end(), "stage " + key + " is not planned");
  return found->second;
}

StageBlanks SpecTable::blanks(const Planned& stage) const {
  StageBlanks blanks{{}, stage.budget, stage.seed};
  for (const StagePlace input : stage.inputs) {
    blanks.inputs.emplace_back(key(input));
  }
  return blanks;
}

double SpecTable::work_until_end(StagePlace stage) const {
  return finescale::work_until_end(at(stage).form->form.example(), at(stage).budget);
}

std::string SpecTable::fillings(StagePlace stage) const {
  return at(stage).form->form.fillings(key(stage), blanks(at(stage)));
}

config::StageSpec SpecTable::at(const std::string& key) const {
  const Planned& stage = at(place(key));
  return stage.form->form.spec(key, blanks(stage));
}

std::vector<std::string> SpecTable::inputs(const std::string& key) const {
  std::vector<std::string> keys;
  for (const StagePlace input : at(place(key)).inputs) {
    keys.push_back(this->key(input));
  }
  return keys;
}

}  // namespace finescale
