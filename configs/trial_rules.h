// SPDX-License-Identifier: Apache-2.0
// Rules that every single trial must keep: base, data, stages, and the files that they name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "configs/decoder.h"
#include "configs/rounds.h"
#include "configs/rule_report.h"
#include "configs/schema/sweep.pb.h"
#include "configs/stage_links.h"

namespace finescale {

// Files are read once, however many axis values are checked.
using ExampleCounts = std::map<std::string, std::int64_t>;

class TrialRules : protected RuleReport {
 public:
  TrialRules(const config::Sweep& sweep, std::string file, const Positions& positions)
      : RuleReport(std::move(file), positions),
        flat_(flattened(sweep.trial())),
        flat_sweep_(has_rounds(sweep.trial()) ? with_trial(sweep, flat_.trial) : nullptr),
        sweep_(flat_sweep_ ? *flat_sweep_ : sweep) {}

  void check_structure() const;  // stages have kinds and names of their own; some stage trains
  void check_base() const;
  void check_data() const;
  void check_trial() const;  // all that a combination of axis values can break
  // Files that exist, budgets that the pool can fill, overlap. `varied`: the path of the field that
  // varies, "" for everything.
  void check_files(ExampleCounts& counts, const std::string& varied) const;

 private:
  static std::unique_ptr<config::Sweep> with_trial(const config::Sweep& sweep,
                                                   const config::Trial& trial);
  FlatTrial flat_;
  std::unique_ptr<config::Sweep> flat_sweep_;  // null: there are no rounds

 protected:
  const config::Sweep& sweep_;  // without rounds

 private:
  // What a stage hands on, as far as rules ask.
  struct Output {
    bool is_trained = false;
    bool is_adapter = false;
  };

  // Where a stage is written.
  [[nodiscard]] const std::string& stage_path(int index) const {
    return flat_.paths[static_cast<std::size_t>(index)];
  }
  void check_links() const;
  void check_shape() const;
  void check_stages() const;
  void check_device() const;
  void check_methods_fit(const DecoderShape& model) const;
  void check_train(const config::Train& train, const std::string& path) const;
  void check_datasets() const;
  void check_eval_sets() const;
  void check_stage_data(const config::Stage& stage, const DataFacts& data,
                        const std::string& path) const;
  void check_file_data(const std::vector<StageLinks>& links, ExampleCounts& counts) const;
  void check_data_budget(std::int64_t budget, const DataFacts& data, const std::string& path) const;
  void check_train_input(const config::Train& train, const Output& input,
                         const std::string& path) const;
  void check_transform_input(const config::Stage& stage, const StageLinks& link,
                             const std::string& path) const;
  void check_evaluate(const config::Evaluate& evaluate, const Output& input,
                      const std::string& path) const;
  void check_file(const std::string& path, const std::string& field) const;
  void check_model(const config::Base& base) const;
  template <class Paths>
  void check_paths(const Paths& paths, const std::string& field) const;
  void check_budget(const config::Train& train, const config::Dataset& pool,
                    const std::string& path, const std::string& pool_name,
                    ExampleCounts& counts) const;
  void check_overlap() const;
};

}  // namespace finescale
