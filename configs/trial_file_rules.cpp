// SPDX-License-Identifier: Apache-2.0
// What the files that a trial names must be, and hold.
#include <algorithm>
#include <system_error>
#include <vector>

#include "configs/data_format.h"
#include "configs/decoder.h"
#include "configs/gguf_summary.h"
#include "configs/model_directory.h"
#include "configs/named_data.h"
#include "configs/overlap.h"
#include "configs/stage_links.h"
#include "configs/teacher_rules.h"
#include "configs/trial_rules.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

std::int64_t positions_of(const ModelDirectory& model) {
  const std::string& path = model.files.front();
  return model.kind == ModelKind::kGguf ? read_gguf_summary(path).positions
                                        : decoder_shape(read_model_config(path)).max_positions;
}

}  // namespace

void TrialRules::check_file(const std::string& path, const std::string& field) const {
  require(path_exists(path), field, field + ": " + path + " does not exist",
          "paths are relative to the sweep file");
  require(path_is_file(path), field, field + ": " + path + " is no file");
  require(is_readable(path), field, field + ": " + path + " cannot be read");
}

void TrialRules::check_model(const config::Base& base) const {
  std::string field = "base.model";
  try {
    const ModelDirectory model = find_model(base.model());
    for (const std::string& path : model.files) {
      check_file(path, field);
    }
    check_file(model.tokenizer, field);
    if (model.kind != ModelKind::kCheckpoint) {
      const std::int64_t positions = positions_of(model);
      require(sweep_.data().max_length() <= positions, "data.max_length",
              "data.max_length is " + std::to_string(sweep_.data().max_length()) +
                  ", must be <= the positions of base.model (" + std::to_string(positions) + ")");
    }
    if (model.kind == ModelKind::kHuggingFace) {
      check_methods_fit(decoder_shape(read_model_config(model.files.front())));
    }
    if (base.has_adapter()) {
      field = "base.adapter";
      require(model.kind != ModelKind::kCheckpoint, field,
              "base.adapter needs a model in the files of other programs as base.model",
              "finescale export DIR TRIAL --format hf --merge writes one");
      for (const std::string& path : adapter_files(base.adapter())) {
        check_file(path, field);
      }
    }
  } catch (const Error& error) {
    const bool is_rule = error.message().starts_with(field) ||
                         error.message().starts_with("data.max_length") ||
                         error.message().starts_with("trial.");
    if (is_rule) {
      throw;
    }
    fail(field, field + ": " + error.where() + " " + error.message(), error.hint());
  }
}

template <class Paths>
void TrialRules::check_paths(const Paths& paths, const std::string& field) const {
  for (int i = 0; i < paths.size(); ++i) {
    const std::string element = field + "[" + std::to_string(i) + "]";
    check_file(paths.Get(i), is_written(element) ? element : field);
  }
}

namespace {

// JSONL alone: other formats are counted where they are read.
DataFacts facts_of_files(const config::Dataset& dataset, ExampleCounts& counts) {
  DataFacts facts;
  std::int64_t examples = 0;
  for (const std::string& file : dataset.path()) {
    if (data_format(file, dataset.format()) != config::DATA_FORMAT_JSONL || !is_readable(file)) {
      return {};
    }
    const auto [count, is_new] = counts.emplace(file, 0);
    count->second = is_new ? count_examples(file) : count->second;
    examples += count->second;
  }
  facts.at_most = dataset.has_limit() ? std::min(examples, dataset.limit()) : examples;
  if (const auto pairs = begins_with_pair(dataset.path(0))) {
    facts.is_form_known = true;
    facts.is_pairs = *pairs;
  }
  return facts;
}

}  // namespace

// What rules say of data of a task, of those that are read, too.
void TrialRules::check_file_data(const std::vector<StageLinks>& links,
                                 ExampleCounts& counts) const {
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    const config::Stage& stage = sweep_.trial().stages(i);
    if (stage.has_train() || leaves_data(stage)) {
      const auto files = [&](const config::Dataset& set) { return facts_of_files(set, counts); };
      check_stage_data(stage, data_facts(sweep_, links, links[static_cast<std::size_t>(i)], files),
                       stage_path(i));
    }
  }
}

void TrialRules::check_budget(const config::Train& train, const config::Dataset& pool,
                              const std::string& path, const std::string& pool_name,
                              ExampleCounts& counts) const {
  if (!train.has_data_budget() || pool.path_size() == 0 || pool.apply_size() > 0) {
    return;  // the worker counts what is drawn or made
  }
  const auto examples = facts_of_files(pool, counts).at_most;
  require(!examples || train.data_budget() <= *examples, path + ".data_budget",
          path + ".data_budget is " + std::to_string(train.data_budget()) + ", but " + pool_name +
              " has " + std::to_string(examples.value_or(0)) + " examples");
}

void TrialRules::check_overlap() const {
  if (sweep_.data().overlap() != config::ON_OVERLAP_ERROR) {
    return;
  }
  for (const Overlap& overlap : find_overlap(sweep_.data())) {
    require(overlap.lines == 0, "data.overlap", describe(overlap),
            "take them out, or set data.overlap: warn");
  }
}

void TrialRules::check_files(ExampleCounts& counts, const std::string& varied) const {
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    check_teacher_files(sweep_, sweep_.trial().stages(i).train(), stage_path(i) + ".train", *this);
  }
  check_teacher_files(sweep_, sweep_.base().pretrain().train(), "base.pretrain.train", *this);
  const config::Base& base = sweep_.base();
  const bool all = varied.empty() || varied.starts_with("base") || varied.starts_with("data");
  if (!all && !varied.ends_with(".data_budget")) {
    if (base.has_model() && varied.find(".method") != std::string::npos) {
      check_model(base);  // what each method asks of it
    }
    check_file_data(stage_links(sweep_.trial()), counts);
    return;
  }
  if (base.has_model()) {
    check_model(base);
  }
  if (base.tokenizer().has_path()) {
    check_file(base.tokenizer().path(), "base.tokenizer");
  }
  if (base.has_pretrain()) {
    check_paths(base.pretrain().data().path(), "base.pretrain.data.path");
    check_budget(base.pretrain().train(), base.pretrain().data(), "base.pretrain.train",
                 "base.pretrain.data", counts);
  }
  const config::Data& data = sweep_.data();
  if (data.has_chat_template()) {
    check_file(data.chat_template(), "data.chat_template");
  }
  check_paths(data.train().path(), "data.train.path");
  for (const config::NamedDataset& set : data.sets()) {
    check_paths(set.dataset().path(), "data.sets." + set.name() + ".path");
  }
  for (int i = 0; i < data.eval_size(); ++i) {
    check_paths(data.eval(i).path(), "data.eval[" + std::to_string(i) + "].path");
  }
  const std::vector<StageLinks> links = stage_links(sweep_.trial());
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    const StageLinks& link = links[static_cast<std::size_t>(i)];
    if (link.data >= 0) {
      continue;  // what a stage leaves is counted when it is there
    }
    const bool is_named = !link.set.empty();
    check_budget(sweep_.trial().stages(i).train(),
                 is_named ? *find_dataset(data, link.set) : data.train(), stage_path(i) + ".train",
                 is_named ? "data.sets." + link.set : "data.train", counts);
  }
  check_file_data(links, counts);
  if (all) {
    check_overlap();
  }
}

}  // namespace finescale
