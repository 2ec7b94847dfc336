// SPDX-License-Identifier: Apache-2.0
// What the many stages of a plan are, in little memory: each is a form that it shares with others,
// and what fills its blanks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "configs/stage_form.h"

namespace finescale {

using StagePlace = std::int32_t;  // in the table, in the order of addition
inline constexpr StagePlace kNoStage = -1;

struct PlannedForm {
  explicit PlannedForm(const config::StageSpec& spec) : form(spec) {}
  StageForm form;
  std::int64_t number = 0;               // among those of the table
  const PlannedForm* trunk = nullptr;    // of its trunk, once asked for
  const PlannedForm* started = nullptr;  // that starts from a trunk, once asked for
};

class SpecTable {
 public:
  SpecTable() = default;
  SpecTable(const SpecTable& other);  // stages point to its own keys and forms
  SpecTable& operator=(const SpecTable&) = delete;
  SpecTable(SpecTable&&) = default;
  SpecTable& operator=(SpecTable&&) = default;
  ~SpecTable() = default;

  // The form of this stage. Stable.
  const PlannedForm& form_of(const config::StageSpec& spec);
  const PlannedForm& trunk_form(const PlannedForm& run);
  [[nodiscard]] const std::vector<std::unique_ptr<PlannedForm>>& forms() const { return forms_; }
  // Of this number, in a table that may be a copy; null for null.
  [[nodiscard]] const PlannedForm* same_form(const PlannedForm* form) const {
    return form == nullptr ? nullptr : forms_[static_cast<std::size_t>(form->number)].get();
  }

  // Adds the stage unless it is there. `second`: it is new.
  std::pair<StagePlace, bool> put(const PlannedForm& form, const std::vector<StagePlace>& inputs,
                                  std::int64_t budget, std::int64_t seed);
  std::pair<StagePlace, bool> put(const config::StageSpec& spec);  // its inputs are there
  // The stage goes on from this trunk.
  void start_from(StagePlace stage, StagePlace trunk);

  [[nodiscard]] std::size_t size() const noexcept { return stages_.size(); }
  [[nodiscard]] std::optional<StagePlace> find(const std::string& key) const;
  [[nodiscard]] StagePlace place(const std::string& key) const;  // must be there
  [[nodiscard]] const std::string& key(StagePlace stage) const { return *at(stage).key; }
  [[nodiscard]] const PlannedForm& form(StagePlace stage) const { return *at(stage).form; }
  [[nodiscard]] const std::vector<StagePlace>& inputs(StagePlace s) const { return at(s).inputs; }
  [[nodiscard]] std::int64_t budget(StagePlace stage) const { return at(stage).budget; }
  [[nodiscard]] std::int64_t seed(StagePlace stage) const { return at(stage).seed; }
  // The trunk that it starts from, or kNoStage.
  [[nodiscard]] StagePlace start(StagePlace stage) const { return at(stage).start; }
  [[nodiscard]] double work_until_end(StagePlace stage) const;  // stage_work.h
  // What fills the form's blanks in the stage's canonical text.
  [[nodiscard]] std::string fillings(StagePlace stage) const;

  [[nodiscard]] bool contains(const std::string& key) const { return places_.contains(key); }
  // Made anew at every call. The key must be there.
  [[nodiscard]] config::StageSpec at(const std::string& key) const;
  [[nodiscard]] std::vector<std::string> inputs(const std::string& key) const;

 private:
  struct Planned {
    const std::string* key = nullptr;
    const PlannedForm* form = nullptr;
    std::int64_t budget = 0;
    std::int64_t seed = 0;
    StagePlace start = kNoStage;
    std::vector<StagePlace> inputs;
  };
  [[nodiscard]] const Planned& at(StagePlace s) const { return stages_[static_cast<size_t>(s)]; }
  [[nodiscard]] StageBlanks blanks(const Planned& stage) const;
  const PlannedForm& started_form(const PlannedForm& run);

  std::vector<std::unique_ptr<PlannedForm>> forms_;
  std::map<std::string, PlannedForm*> forms_by_text_;
  std::vector<Planned> stages_;
  std::unordered_map<std::string, StagePlace> places_;
};

}  // namespace finescale
