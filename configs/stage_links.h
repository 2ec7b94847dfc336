// SPDX-License-Identifier: Apache-2.0
// Where each stage of a trial takes its model and its data from. Stages read what stands before
// them, so their order is the order of execution. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"

namespace finescale {

// Places in trial.stages.
struct StageLinks {
  int model = -1;             // the train or transform stage that leaves it; -1: the base
  int data = -1;              // the stage that leaves them; -1: set, or data.train
  std::vector<int> models{};  // of a transform: where each of its models comes from, as above
  std::string set{};          // a dataset of data.sets that the stage asks for; empty: none
  // The stage whose model a distilling one learns from, -1: the base; nothing: it names none.
  std::optional<int> teacher{};
};

// Whether a teacher is a model's path, which has a / or ends in .gguf, and no stage's name.
[[nodiscard]] bool is_model_path(const std::string& teacher);

// `from`, or the teacher, naming what is no earlier stage. `stage`: whose.
struct LinkFault {
  int stage = 0;
  int from = 0;      // -1: the teacher
  std::string what;  // behind the field's path
  std::string hint;
};
[[nodiscard]] std::optional<LinkFault> find_link_fault(const config::Trial& trial);

// What each stage reads. The trial has no fault.
[[nodiscard]] std::vector<StageLinks> stage_links(const config::Trial& trial);

// Whether a stage leaves examples.
[[nodiscard]] bool leaves_data(const config::Stage& stage);

// Metrics that a stage which leaves data reports of itself, under its own name.
[[nodiscard]] std::vector<std::string> stage_metrics(const config::Stage& stage);

// What is known of data before anything runs.
struct DataFacts {
  bool is_form_known = false;  // whether is_pairs says more than "perhaps"
  bool is_generated = false;   // answers of a model
  bool has_losses = false;
  bool is_pairs = false;
  const config::Task* task = nullptr;     // that verifies answers
  std::optional<std::int64_t> at_most{};  // examples
};
// What is known of a dataset that is read from files.
using FileFacts = std::function<DataFacts(const config::Dataset&)>;
// Of what a stage reads; without `files` those are not looked at.
[[nodiscard]] DataFacts data_facts(const config::Sweep& sweep, const std::vector<StageLinks>& links,
                                   const StageLinks& link, const FileFacts& files = {});
// Of a dataset of the sweep.
[[nodiscard]] DataFacts dataset_facts(const config::Sweep& sweep,
                                      const std::vector<StageLinks>& links,
                                      const config::Dataset& dataset, const FileFacts& files = {});

}  // namespace finescale
