// SPDX-License-Identifier: Apache-2.0
// What trials that differ in their data budgets and seed alone have in common: forms of their
// stages, and who reads whom. One of them is the form with its values filled in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "configs/stages.h"
#include "coordinator/spec_table.h"

namespace finescale {

struct VariedValues {
  std::optional<std::int64_t> seed;             // absent: no axis
  std::map<std::string, std::int64_t> budgets;  // stage name -> budget
};
// Nothing when one of them is no number.
[[nodiscard]] std::optional<VariedValues> varied_values(
    const std::map<std::string, std::string>& axes);
// The other values, as one text.
[[nodiscard]] std::string common_values(const std::map<std::string, std::string>& axes,
                                        const std::map<std::string, std::string>& tuned);

class TrialForm {
 public:
  // Of a trial with these stages and values.
  TrialForm(const TrialStages& stages, const std::vector<StagePlace>& places,
            const VariedValues& values, SpecTable& table);

  // The same in a copy of its table.
  TrialForm(const TrialForm& other, const SpecTable& table) : TrialForm(other) {
    for (Part& part : parts_) {
      part.form = table.same_form(part.form);
    }
  }

  // Another trial was expanded in full to these stages: whether filling in gives the same. It
  // proves what its values differ in.
  void prove(const VariedValues& values, const std::vector<StagePlace>& expected,
             const SpecTable& table);
  // These values differ from the example's only in what has been proven.
  [[nodiscard]] bool is_proven_for(const VariedValues& values) const;
  // Adds the stages of a trial with these values.
  [[nodiscard]] std::vector<StagePlace> fill(const VariedValues& values, SpecTable& table) const;
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  struct Part {
    const PlannedForm* form = nullptr;
    std::vector<std::size_t> inputs;  // among the parts
    std::int64_t budget = 0;          // of the example
    std::int64_t seed = 0;
    bool has_seed = false;
    bool is_trials_own = false;  // its name is one of the trial's stages
  };
  [[nodiscard]] std::int64_t budget_of(std::size_t part, const VariedValues& values) const;
  [[nodiscard]] std::int64_t seed_of(std::size_t part, const VariedValues& values) const;
  // Names of the values that differ from the example's; "seed" and stages.
  [[nodiscard]] std::set<std::string> differences(const VariedValues& values) const;

  std::vector<Part> parts_;
  std::vector<std::string> names_;
  VariedValues example_;
  std::set<std::string> proven_;  // of what may differ
  bool is_refuted_ = false;
};

}  // namespace finescale
