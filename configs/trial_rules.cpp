// SPDX-License-Identifier: Apache-2.0
#include "configs/trial_rules.h"

#include <algorithm>
#include <set>
#include <vector>

#include "configs/data_stage_rules.h"
#include "configs/dataset_rules.h"
#include "configs/decoder.h"
#include "configs/gpu_support.h"
#include "configs/mesh_plan.h"
#include "configs/method_rules.h"
#include "configs/named_data.h"
#include "configs/stage_links.h"
#include "configs/stages.h"
#include "configs/teacher_rules.h"
#include "configs/transform_rules.h"

namespace finescale {

namespace {

const std::vector<std::string> kMetrics = {
    "loss",         "exact_match",       "accuracy", "format_error", "step_error",
    "answer_error", "calibration_error", "brier",    "confidence"};

bool input_is_trained(const config::Sweep& sweep) {
  return sweep.base().has_model() || sweep.base().has_pretrain();
}

}  // namespace

std::unique_ptr<config::Sweep> TrialRules::with_trial(const config::Sweep& sweep,
                                                      const config::Trial& trial) {
  auto flat = std::make_unique<config::Sweep>(sweep);
  *flat->mutable_trial() = trial;
  return flat;
}

void TrialRules::check_structure() const {
  std::set<std::string> names;
  bool trains = false;
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    const config::Stage& stage = sweep_.trial().stages(i);
    const std::string path = stage_path(i);
    require(stage.kind_case() != config::Stage::KIND_NOT_SET, path, path + " has no kind",
            "give train, evaluate, generate, score, select, transform or rounds");
    require(!stage.has_rounds(), path, path + ".rounds stands in rounds", "write the stages out");
    const std::string name(name_without_round(stage.name()));
    require_word(name, path + ".name");
    const bool is_taken = sweep_.GetDescriptor()->FindFieldByName(name) != nullptr ||
                          name == "pretrain" || name == "tokenizer" || name == "base";
    require(!is_taken, path + ".name",
            path + ".name is " + stage.name() + ", which means something else in paths");
    require(names.insert(stage.name()).second, path + ".name",
            path + ".name: two stages are called " + stage.name());
    trains = trains || stage.has_train();
  }
  require(trains, "trial.stages", "trial.stages: no stage trains");
  check_links();
  if (const auto fault = find_data_fault(sweep_, flat_.paths)) {
    fail(fault->path, fault->what, fault->hint);
  }
}

void TrialRules::check_links() const {
  const auto fault = find_link_fault(sweep_.trial());
  if (!fault) {
    return;
  }
  const std::string stage = stage_path(fault->stage);
  if (fault->from < 0) {
    const std::string path = stage + ".train.objective.distill.teacher";
    fail(path, path + ": " + fault->what, fault->hint);
  }
  const std::string path = stage + ".from";
  const std::string element = path + "[" + std::to_string(fault->from) + "]";
  fail(is_written(element) ? element : path, path + ": " + fault->what, fault->hint);
}

void TrialRules::check_trial() const {
  check_links();
  check_datasets();
  check_shape();
  check_stages();
  check_device();
}

void TrialRules::check_device() const {
  if (sweep_.resources().device() != config::DEVICE_KIND_CUDA) {
    return;
  }
  const char* hint = "use resources.device: cpu, or auto: then that stage runs on the CPU";
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    const config::Stage& stage = sweep_.trial().stages(i);
    if (const auto fault = gpu_fault(stage.train()); stage.has_train() && fault) {
      fail(stage_path(i) + ".train." + fault->field, fault->message, hint);
    }
  }
}

void TrialRules::check_base() const {
  const config::Base& base = sweep_.base();
  require(base.has_model() != (base.has_preset() || base.has_architecture()), "base",
          "base must give either model or preset (or architecture)",
          "base.model starts from weights, base.preset from a shape");
  if (base.has_model()) {
    require(!base.has_pretrain(), "base.pretrain",
            "base.pretrain needs base.preset: base.model is trained already");
    require(!base.has_tokenizer(), "base.tokenizer",
            "base.tokenizer needs base.preset: base.model brings its own");
    return;
  }
  require(!base.has_adapter(), "base.adapter", "base.adapter needs base.model");
  require(base.tokenizer().kind_case() != config::Tokenizer::KIND_NOT_SET, "base",
          "base.preset needs base.tokenizer",
          "give tokenizer: a tokenizer.json, or tokenizer: {train: {}} with pretrain");
  if (base.tokenizer().has_train()) {
    require(base.has_pretrain(), "base.tokenizer",
            "base.tokenizer.train needs base.pretrain: it is trained on the pretraining text");
  }
  if (base.has_pretrain()) {
    check_train(base.pretrain().train(), "base.pretrain.train");
    require(leaves_whole_weights(base.pretrain().train().method()), "base.pretrain.train.method",
            "base.pretrain.train.method must be full");
    const config::Objective& objective = base.pretrain().train().objective();
    require(
        !objective.has_distill() || is_model_path(objective.distill().teacher()),
        "base.pretrain.train.objective",
        "base.pretrain.train.objective: distill has no teacher here: no stage is in front of it",
        "give teacher: the path of a model, with a / in it");
  }
  const bool varies_preset =
      std::any_of(sweep_.axes().begin(), sweep_.axes().end(),
                  [](const config::Axis& axis) { return axis.path() == "base.preset"; });
  require(!varies_preset || !is_written("base.architecture"), "base.architecture",
          "base.architecture cannot be given while base.preset is an axis");
}

void TrialRules::check_shape() const {
  const config::Base& base = sweep_.base();
  if (base.has_model()) {
    return;
  }
  const config::ModelConfig& architecture = base.architecture();
  const std::string path = "base.architecture." + family_name(architecture);
  if (const auto fault = find_shape_fault(architecture)) {
    fail(path + "." + fault->field, path + "." + fault->message);
  }
  const DecoderShape model = decoder_shape(architecture);
  check_methods_fit(model);
  require(sweep_.data().max_length() <= model.max_positions, "data.max_length",
          "data.max_length is " + std::to_string(sweep_.data().max_length()) +
              ", must be <= max_positions of the model (" + std::to_string(model.max_positions) +
              ")");
  if (const auto fault = planner::find_fault(model_shape(model), mesh_plan(sweep_.mesh()))) {
    fail("mesh." + fault->field, fault->message,
         nearest_mesh_hint(sweep_, mesh_plan(sweep_.mesh()).axes.ranks()));
  }
  require(
      !base.tokenizer().has_train() || base.tokenizer().train().vocab_size() <= model.vocab_size,
      "base.tokenizer.train.vocab_size",
      "base.tokenizer.train.vocab_size is " +
          std::to_string(base.tokenizer().train().vocab_size()) +
          ", must be <= vocab_size of the model (" + std::to_string(model.vocab_size) + ")");
}

void TrialRules::check_methods_fit(const DecoderShape& model) const {
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    const config::Train& train = sweep_.trial().stages(i).train();
    check_method_fits(train, model, stage_path(i) + ".train", *this);
    check_positions(train, model, sweep_.data().max_length(), stage_path(i) + ".train", *this);
    check_method_on_mesh(train, model, sweep_.mesh(), stage_path(i) + ".train", *this);
    check_patterns_fit(sweep_.trial().stages(i).transform(), model, stage_path(i) + ".transform",
                       *this);
  }
}

void TrialRules::check_data() const {
  const config::Data& data = sweep_.data();
  require(data.has_train(), "data", "data.train is missing");
  for (const config::NamedDataset& set : data.sets()) {
    require_word(set.name(), "data.sets." + set.name());
  }
  check_datasets();
  check_eval_sets();
  require(data.prompt_end() != data.response_end(), "data.prompt_end",
          "data.prompt_end and data.response_end must differ");
}

void TrialRules::check_datasets() const {
  const std::vector<StageLinks> links = stage_links(sweep_.trial());
  if (sweep_.base().has_pretrain()) {
    check_dataset(sweep_, links, sweep_.base().pretrain().data(), "base.pretrain.data", *this);
  }
  check_dataset(sweep_, links, sweep_.data().train(), "data.train", *this);
  for (const config::NamedDataset& set : sweep_.data().sets()) {
    check_dataset(sweep_, links, set.dataset(), "data.sets." + set.name(), *this);
  }
}

void TrialRules::check_eval_sets() const {
  const config::Data& data = sweep_.data();
  std::set<std::string> names;
  bool uses_held_out = false;
  for (int i = 0; i < data.eval_size(); ++i) {
    const config::EvalSet& set = data.eval(i);
    const std::string path = "data.eval[" + std::to_string(i) + "]";
    require_word(set.name(), path + ".name");
    require(names.insert(set.name()).second, path + ".name",
            path + ".name: two eval sets are called " + set.name());
    const int sources = static_cast<int>(set.path_size() > 0) + static_cast<int>(set.has_task()) +
                        static_cast<int>(set.has_data());
    require(sources > 0 || data.eval_fraction() > 0, path,
            path + ": eval set " + set.name() +
                " has no path, task or data, and data.eval_fraction is 0");
    require(sources < 2, path, path + " must give one of path, task and data",
            "path reads files, task draws problems, data takes one of data.sets: docs/data.md");
    require(!set.has_data() || !set.has_limit(), path + ".limit",
            path + ".limit is of what is read from files or a task");
    if (set.has_task()) {
      check_task(set.task(), path + ".task", *this);
    }
    require(!set.name().ends_with(kSuiteEnding), path + ".name",
            path + ".name is " + set.name() + ": what ends so are the sets of a tag together");
    for (const std::string& tag : set.tags()) {
      require_word(tag, path + ".tags");
    }
    uses_held_out = uses_held_out || sources == 0;
  }
  require(data.eval_fraction() == 0 || uses_held_out, "data.eval_fraction",
          "data.eval_fraction holds examples out, but no eval set without a path uses them");
}

void TrialRules::check_train(const config::Train& train, const std::string& path) const {
  require(train.betas().empty() || train.betas_size() == 2, path + ".betas",
          path + ".betas has " + std::to_string(train.betas_size()) + " values, must have 2");
  require(!(train.has_steps() && train.has_tokens()), path + ".tokens",
          path + ".tokens excludes " + path + ".steps: give one of them");
  const bool gives_epochs = is_written(path + ".epochs") || train.epochs() != 1;
  require(!(gives_epochs && (train.has_steps() || train.has_tokens())), path + ".epochs",
          path + ".epochs excludes steps and tokens: give one of them");
  require(!train.has_steps() || train.warmup().steps() <= train.steps(), path + ".warmup",
          path + ".warmup.steps is " + std::to_string(train.warmup().steps()) +
              ", must be <= steps (" + std::to_string(train.steps()) + ")");
  require(train.keep() != config::KEEP_BEST || train.eval_every() > 0, path + ".keep",
          path + ".keep is best, which needs eval_every");
  require(train.eval_every() == 0 || sweep_.data().eval_size() > 0, path + ".eval_every",
          path + ".eval_every needs data.eval");
  check_method(train, path, *this);
  check_optimizer(train, path, *this);
}

void TrialRules::check_stages() const {
  const std::vector<StageLinks> links = stage_links(sweep_.trial());
  for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
    const config::Stage& stage = sweep_.trial().stages(i);
    const std::string path = stage_path(i);
    const StageLinks& link = links[static_cast<std::size_t>(i)];
    Output input{input_is_trained(sweep_), false};
    if (link.model >= 0) {
      const config::Stage& made_by = sweep_.trial().stages(link.model);
      input = {true, made_by.has_train() && !leaves_whole_weights(made_by.train().method())};
    }
    require(!link.teacher || *link.teacher >= 0 || input_is_trained(sweep_),
            path + ".train.objective.distill.teacher",
            path + ".train.objective.distill.teacher: the base is not trained",
            "give base.pretrain or base.model, or name a train stage");
    const DataFacts data = data_facts(sweep_, links, link);
    if (stage.has_train()) {
      check_train(stage.train(), path + ".train");
      check_train_input(stage.train(), input, path + ".train");
    } else if (stage.has_evaluate()) {
      check_evaluate(stage.evaluate(), input, path);
    } else if (stage.has_generate()) {
      require(input.is_trained, path, path + ".generate asks untrained weights");
    } else if (stage.has_score()) {
      require(input.is_trained, path, path + ".score measures untrained weights");
    } else if (stage.has_transform()) {
      check_transform_input(stage, link, path);
    }
    check_stage_data(stage, data, path);
  }
}

void TrialRules::check_stage_data(const config::Stage& stage, const DataFacts& data,
                                  const std::string& path) const {
  if (stage.has_train()) {
    check_data_budget(stage.train().data_budget(), data, path + ".train");
    const bool wants_pairs = learns_from_pairs(stage.train().objective());
    require(
        !data.is_form_known || wants_pairs == data.is_pairs, path + ".train.objective",
        path + ".train.objective learns from " +
            (wants_pairs ? "pairs, and its data are none" : "responses, and its data are pairs"),
        wants_pairs ? "give {prompt, chosen, rejected}, select: {pairs: {}} before it, or task: "
                      "{pairs: true}"
                    : "for example objective: dpo");
  } else if (stage.has_generate()) {
    check_generate(data, path, *this);
    check_data_budget(stage.generate().data_budget(), data, path + ".generate");
  } else if (stage.has_score()) {
    check_score(data, path, *this);
  } else if (leaves_data(stage)) {
    check_select(stage.select(), data, path, *this);
  }
}

void TrialRules::check_transform_input(const config::Stage& stage, const StageLinks& link,
                                       const std::string& path) const {
  const bool is_base_trained = sweep_.base().has_model() || sweep_.base().has_pretrain();
  for (const int model : link.models) {
    require(model >= 0 || is_base_trained, path, path + ".transform changes untrained weights",
            "give base.model or base.pretrain, or name train stages in from");
    const bool has_network =
        model >= 0 && is_beside_weights(sweep_.trial().stages(model).train().method());
    require(!has_network, path,
            path +
                ".transform changes weights, and its method's adapter is a network or virtual "
                "tokens beside them, no change of a matrix",
            "name stages of other methods");
  }
  check_transform(stage.transform(), static_cast<int>(link.models.size()), path + ".transform",
                  *this);
}

void TrialRules::check_data_budget(std::int64_t budget, const DataFacts& data,
                                   const std::string& path) const {
  require(!data.at_most || budget <= *data.at_most, path + ".data_budget",
          path + ".data_budget is " + std::to_string(budget) + ", but its data have at most " +
              std::to_string(data.at_most.value_or(0)) + " examples");
}

void TrialRules::check_train_input(const config::Train& train, const Output& input,
                                   const std::string& path) const {
  require(!input.is_adapter, path, path + " starts from an adapter, which is not in this version",
          "give from: a stage of method full, or leave the earlier stage out");
  const bool learns_from_input =
      needs_reference(train.objective()) ||
      (train.objective().has_distill() && !train.objective().distill().has_teacher());
  require(input.is_trained || !learns_from_input, path + ".objective",
          path + ".objective compares with untrained weights",
          "give base.pretrain, base.model, or a train stage in front of it");
  require(input.is_trained || leaves_whole_weights(train.method()), path + ".method",
          path + ".method is an adapter of untrained weights",
          "give base.pretrain, base.model, or method: full");
}

void TrialRules::check_evaluate(const config::Evaluate& evaluate, const Output& input,
                                const std::string& path) const {
  require(sweep_.data().eval_size() > 0, path, path + ".evaluate needs data.eval");
  require(input.is_trained, path, path + ".evaluate measures untrained weights",
          "put it behind a train stage, or give base.pretrain or base.model");
  for (const std::string& metric : evaluate.metrics()) {
    require_known(kMetrics, metric, path + ".evaluate.metrics");
    if (needs_verifier(metric)) {
      check_has_verifiers(sweep_, metric, path + ".evaluate.metrics", *this);
    }
  }
}

}  // namespace finescale
