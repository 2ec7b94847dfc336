// SPDX-License-Identifier: Apache-2.0
// What the stages of a plan read, found once each: tokenizers, data and architectures. What earlier
// stages of the plan will leave is trained (a tokenizer), guessed (data) or followed to its source.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "configs/schema/model.pb.h"
#include "configs/schema/stage.pb.h"
#include "worker/data/dataset.h"
#include "worker/data/loader.h"
#include "worker/data/tokenizer.h"

namespace finescale {

class PlanInputs {
 public:
  void add(config::StageSpec stage);

  // All stages, by key.
  [[nodiscard]] const std::map<std::string, config::StageSpec>& stages() const noexcept {
    return stages_;
  }
  // Null: it is not of this plan.
  [[nodiscard]] const config::StageSpec* find(const std::string& key) const;

  // All of these throw kConfig when a stage that they need is not in the plan. What they return
  // lives as long as this.
  [[nodiscard]] const Tokenizer& tokenizer(const config::TokenizerSource& source);
  [[nodiscard]] const Dataset& dataset(const config::DatasetRef& ref,
                                       const config::DataRules& rules,
                                       const config::TokenizerSource& source);
  [[nodiscard]] const config::ModelConfig& architecture(const config::ModelSource& source);
  // Of a train stage among stages(); kept for later calls while there is room.
  [[nodiscard]] std::shared_ptr<const TrainLoader> loader(const config::TrainSpec& spec);

  // That training the tokenizer of this prepare stage took.
  [[nodiscard]] double prepare_seconds(const std::string& key) { return prepare_seconds_[key]; }
  // What was detected in each data set, in the order met.
  [[nodiscard]] const std::vector<std::string>& found() const noexcept { return found_; }

 private:
  [[nodiscard]] std::unique_ptr<Tokenizer> trained_tokenizer(const std::string& key);
  [[nodiscard]] std::unique_ptr<Dataset> make_dataset(const config::DatasetRef& ref,
                                                      const config::DataRules& rules,
                                                      const config::TokenizerSource& source);

  std::map<std::string, config::StageSpec> stages_;
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers_;
  std::map<std::string, std::unique_ptr<Dataset>> datasets_;
  std::map<const config::TrainSpec*, std::shared_ptr<const TrainLoader>> loaders_;
  std::int64_t kept_steps_ = 0;                               // of loaders_
  std::map<std::string, config::ModelConfig> architectures_;  // of files, by path
  std::map<std::string, double> prepare_seconds_;
  std::vector<std::string> found_;
};

}  // namespace finescale
