// SPDX-License-Identifier: Apache-2.0
// Datasets of a sweep as stages read them: no name is left in them, so that equal data have equal
// keys. Pure but for the hashes of files.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "configs/schema/sweep.pb.h"

namespace finescale {

class DatasetRefs {
 public:
  using File = std::function<config::FileRef(const std::string& path)>;
  using StageData = std::function<config::DatasetRef(const std::string& stage)>;

  // `file` and `stage_data` are asked for what is used alone.
  DatasetRefs(const config::Data& data, File file, StageData stage_data)
      : data_(data), file_(std::move(file)), stage_data_(std::move(stage_data)) {}

  // `label`: where the sweep file says it. A task that does not say its part draws `part`.
  [[nodiscard]] config::DatasetRef dataset(const config::Dataset& dataset, const std::string& label,
                                           config::TaskPart part) const;
  // Of data.sets.
  [[nodiscard]] config::DatasetRef named(const std::string& name, config::TaskPart part) const;
  [[nodiscard]] config::DatasetRef pool() const;  // data.train
  [[nodiscard]] config::DatasetRef eval_set(const config::EvalSet& set) const;

 private:
  [[nodiscard]] config::DatasetRef leaf(const config::Dataset& dataset, const std::string& label,
                                        config::TaskPart part) const;
  void add_mixture(const config::Mixture& mix, config::TaskPart part,
                   config::DatasetRef& ref) const;
  void add_operators(const config::Dataset& dataset, config::TaskPart part,
                     config::DatasetRef& ref) const;

  const config::Data& data_;
  File file_;
  StageData stage_data_;
};

// Keys of the stages that the data are made of.
void add_artifacts(const config::DatasetRef& ref, std::vector<std::string>& keys);

// Equal for tasks of one verifier: how many problems, and which ones, is left out.
[[nodiscard]] std::string same_task_text(const config::Task& task);

// Whether a task's verifier still judges answers: the response is what the task drew.
[[nodiscard]] bool keeps_verifier(const config::Operator& change);

}  // namespace finescale
