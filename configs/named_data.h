// SPDX-License-Identifier: Apache-2.0
// Datasets by name: which is made of which, and of what stages leave. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// Of data.sets; null: there is none.
[[nodiscard]] const config::Dataset* find_dataset(const config::Data& data,
                                                  const std::string& name);
[[nodiscard]] std::vector<std::string> dataset_names(const config::Data& data);

// The dataset that a stage asks for; empty: it takes what comes.
[[nodiscard]] const std::string& data_asked_by(const config::Stage& stage);

// A name that a dataset takes, and the field of the dataset where it stands.
struct NamedUse {
  std::string name;
  std::string field;  // from, mix.parts.old, apply[1].join.data
};
[[nodiscard]] std::vector<NamedUse> names_used(const config::Dataset& dataset);

// Stages of which it is made, through all names. There must be no fault.
[[nodiscard]] std::set<std::string> stages_used(const config::Data& data,
                                                const config::Dataset& dataset);

struct DataFault {
  std::string path;  // of the field in the sweep file
  std::string what;
  std::string hint;
};
// A name that is unknown, a dataset that is made of itself, a stage that is none or leaves no
// examples, or that is read before it has run.
// `paths`: where each stage is written; there are no rounds.
[[nodiscard]] std::optional<DataFault> find_data_fault(const config::Sweep& sweep,
                                                       const std::vector<std::string>& paths);

}  // namespace finescale
