// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trial_form.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace finescale {

namespace {

constexpr std::string_view kBudgetSuffix = ".data_budget";

bool is_varied(const std::string& path) {
  return path == "seed" || path.ends_with(kBudgetSuffix);
}

}  // namespace

std::optional<VariedValues> varied_values(const std::map<std::string, std::string>& axes) {
  VariedValues values;
  for (const auto& [path, text] : axes) {
    if (!is_varied(path)) {
      continue;
    }
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    if (code != std::errc() || stop != end) {
      return std::nullopt;
    }
    if (path == "seed") {
      values.seed = value;
    } else {
      values.budgets.emplace(path.substr(0, path.size() - kBudgetSuffix.size()), value);
    }
  }
  return values;
}

std::string common_values(const std::map<std::string, std::string>& axes,
                          const std::map<std::string, std::string>& tuned) {
  std::string text;
  for (const auto* values : {&axes, &tuned}) {
    for (const auto& [path, value] : *values) {
      if (!is_varied(path)) {
        text.append(path).append("=").append(value).append("\n");
      }
    }
  }
  return text;
}

TrialForm::TrialForm(const TrialStages& stages, const std::vector<StagePlace>& places,
                     const VariedValues& values, SpecTable& table)
    : names_(stages.names), example_(values) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    const config::StageSpec& spec = stages.stages[i];
    Part part;
    part.form = &table.form_of(spec);
    for (const std::string& input : spec.inputs()) {
      const auto source = std::find(places.begin(), places.end(), table.place(input));
      FS_CHECK(source != places.end(), "a stage reads what its trial has not");
      part.inputs.push_back(static_cast<std::size_t>(source - places.begin()));
    }
    part.budget = spec.train().train().data_budget();
    part.seed = stage_seed(spec);
    part.has_seed =
        spec.has_train() || spec.has_generate() || spec.has_select() || spec.has_transform();
    part.is_trials_own = names_[i] != "pretrain" && names_[i] != "tokenizer";
    parts_.push_back(std::move(part));
  }
}

std::int64_t TrialForm::budget_of(std::size_t part, const VariedValues& values) const {
  const auto found =
      parts_[part].is_trials_own ? values.budgets.find(names_[part]) : values.budgets.end();
  return found == values.budgets.end() ? parts_[part].budget : found->second;
}

std::int64_t TrialForm::seed_of(std::size_t part, const VariedValues& values) const {
  const Part& one = parts_[part];
  const bool takes = one.is_trials_own && one.has_seed && values.seed;
  return takes ? *values.seed : one.seed;
}

std::vector<StagePlace> TrialForm::fill(const VariedValues& values, SpecTable& table) const {
  std::vector<StagePlace> places;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    std::vector<StagePlace> inputs;
    for (const std::size_t input : parts_[i].inputs) {
      inputs.push_back(places[input]);
    }
    places.push_back(
        table.put(*parts_[i].form, inputs, budget_of(i, values), seed_of(i, values)).first);
  }
  return places;
}

std::set<std::string> TrialForm::differences(const VariedValues& values) const {
  std::set<std::string> names;
  if (values.seed != example_.seed) {
    names.insert("seed");
  }
  for (const auto& [stage, budget] : values.budgets) {
    const auto same = example_.budgets.find(stage);
    if (same == example_.budgets.end() || same->second != budget) {
      names.insert(stage + std::string(kBudgetSuffix));
    }
  }
  return names;
}

bool TrialForm::is_proven_for(const VariedValues& values) const {
  const std::set<std::string> names = differences(values);
  return !is_refuted_ && std::includes(proven_.begin(), proven_.end(), names.begin(), names.end());
}

void TrialForm::prove(const VariedValues& values, const std::vector<StagePlace>& expected,
                      const SpecTable& table) {
  bool is_same = expected.size() == parts_.size();
  for (std::size_t i = 0; is_same && i < parts_.size(); ++i) {
    StageBlanks blanks{{}, budget_of(i, values), seed_of(i, values)};
    for (const std::size_t input : parts_[i].inputs) {
      blanks.inputs.emplace_back(table.key(expected[input]));
    }
    is_same = parts_[i].form->form.key(blanks) == table.key(expected[i]);
  }
  is_refuted_ = is_refuted_ || !is_same;
  proven_.merge(differences(values));
}

}  // namespace finescale
