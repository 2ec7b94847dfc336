// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_inputs.h"

#include <algorithm>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "core/error.h"
#include "core/stopwatch.h"
#include "worker/import/open_model.h"
#include "worker/tool/plan_tool_data.h"

namespace finescale {

namespace {

// Of the loaders that are kept: 8 bytes each.
constexpr std::int64_t kMostSteps = std::int64_t{1} << 23;

[[noreturn]] void throw_missing(const std::string& what, const std::string& key) {
  throw Error(ErrorKind::kConfig, "the plan does not hold the " + what + " " + key);
}

}  // namespace

void PlanInputs::add(config::StageSpec stage) {
  std::string key = stage.key();
  stages_.emplace(std::move(key), std::move(stage));
}

const config::StageSpec* PlanInputs::find(const std::string& key) const {
  const auto found = stages_.find(key);
  return found == stages_.end() ? nullptr : &found->second;
}

const Tokenizer& PlanInputs::tokenizer(const config::TokenizerSource& source) {
  auto& held = tokenizers_[key_text(source)];
  if (held == nullptr) {
    held = source.has_file() ? std::make_unique<Tokenizer>(Tokenizer::load(source.file().path()))
                             : trained_tokenizer(source.artifact());
  }
  return *held;
}

// As the stage will train it; the time is that stage's.
std::unique_ptr<Tokenizer> PlanInputs::trained_tokenizer(const std::string& key) {
  const config::StageSpec* stage = find(key);
  if (stage == nullptr || !stage->has_prepare()) {
    throw_missing("tokenizer's stage", key);
  }
  const config::PrepareSpec& spec = stage->prepare();
  const Stopwatch watch;
  std::vector<std::string> special = {spec.rules().response_end()};
  if (!spec.rules().prompt_end().empty()) {
    special.push_back(spec.rules().prompt_end());
  }
  special.insert(special.end(), spec.tokenizer().special_tokens().begin(),
                 spec.tokenizer().special_tokens().end());
  auto tokenizer = std::make_unique<Tokenizer>(Tokenizer::train(
      read_texts(spec.data(), spec.rules()), spec.tokenizer().vocab_size(), special));
  prepare_seconds_[key] = watch.seconds();
  return tokenizer;
}

const Dataset& PlanInputs::dataset(const config::DatasetRef& ref, const config::DataRules& rules,
                                   const config::TokenizerSource& source) {
  auto& held = datasets_[key_text(ref) + key_text(rules) + key_text(source)];
  if (held == nullptr) {
    held = make_dataset(ref, rules, source);
  }
  return *held;
}

std::unique_ptr<Dataset> PlanInputs::make_dataset(const config::DatasetRef& ref,
                                                  const config::DataRules& rules,
                                                  const config::TokenizerSource& source) {
  const auto input = [&](const config::DatasetRef& other) -> const Dataset& {
    return dataset(other, rules, source);
  };
  if (ref.has_artifact()) {
    const config::StageSpec* maker = find(ref.artifact());
    if (maker == nullptr) {
      throw_missing("stage", ref.artifact());
    }
    return std::make_unique<Dataset>(guessed_data(*maker, input(data_read_by(*maker))));
  }
  if (reads_artifact(ref)) {
    return std::make_unique<Dataset>(guessed_mixture(ref, input));
  }
  auto data = std::make_unique<Dataset>(ref, rules, tokenizer(source));
  std::string found = dataset_source(ref) + ": " + data->describe();
  if (std::find(found_.begin(), found_.end(), found) == found_.end()) {
    found_.push_back(std::move(found));
  }
  return data;
}

// A loader goes through the order of its examples when it is made, and a plan asks for the same one
// several times.
std::shared_ptr<const TrainLoader> PlanInputs::loader(const config::TrainSpec& spec) {
  if (const auto found = loaders_.find(&spec); found != loaders_.end()) {
    return found->second;
  }
  const Dataset& pool = dataset(spec.data(), spec.rules(), spec.tokenizer());
  auto made = std::make_shared<const TrainLoader>(pool, spec.train(), spec.seed());
  if (kept_steps_ + made->num_steps() <= kMostSteps) {
    kept_steps_ += made->num_steps();
    loaders_.emplace(&spec, made);
  }
  return made;
}

const config::ModelConfig& PlanInputs::architecture(const config::ModelSource& source) {
  if (source.has_fresh()) {
    return source.fresh();
  }
  if (source.has_files() || source.has_checkpoint()) {
    const std::string& path =
        source.has_files() ? source.files().files(0).path() : source.checkpoint().path();
    const auto [held, is_new] = architectures_.emplace(path, config::ModelConfig());
    if (is_new && source.has_files()) {
      held->second = open_model_files(source.files())->config();  // checks the files too
    } else if (is_new) {
      const auto group = make_single_group();
      parse_canonical(CheckpointReader(*group, path).state().model_text, held->second);
    }
    return held->second;
  }
  const config::StageSpec* maker = find(source.artifact());
  if (maker != nullptr && maker->has_transform()) {
    return architecture(maker->transform().models(0));
  }
  if (maker == nullptr || !maker->has_train()) {
    throw_missing("model's stage", source.artifact());
  }
  return architecture(maker->train().model());
}

}  // namespace finescale
