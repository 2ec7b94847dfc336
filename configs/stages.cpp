// SPDX-License-Identifier: Apache-2.0
#include "configs/stages.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "configs/canonical.h"
#include "configs/dataset_refs.h"
#include "configs/gguf_summary.h"
#include "configs/model_directory.h"
#include "configs/rounds.h"
#include "configs/stage_links.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

class Expansion {
 public:
  Expansion(const config::Sweep& sweep, const ContentHash& hash)
      : sweep_(sweep),
        trial_(flattened(sweep.trial()).trial),
        hash_(hash),
        refs_(
            sweep.data(), [this](const std::string& path) { return file(path); },
            [this](const std::string& stage) { return left_by(stage); }) {}

  TrialStages run() {
    expand_base();
    const std::vector<StageLinks> links = stage_links(trial_);
    for (int i = 0; i < trial_.stages_size(); ++i) {
      const StageLinks& link = links[static_cast<std::size_t>(i)];
      const config::Stage& stage = trial_.stages(i);
      const Source& input = link.model < 0 ? base_ : models_.at(link.model);
      // Examples are held out of data.train alone.
      const bool reads_data = !stage.has_evaluate() && !stage.has_transform();
      const InputData data{reads_data ? data_of(link) : config::DatasetRef(),
                           link.data < 0 && link.set.empty()};
      switch (stage.kind_case()) {
        case config::Stage::kTrain:
          models_[i] = add_train(stage.name(), stage.train(), input, sweep_.seed(), data,
                                 teacher_of(stage.train(), link.teacher));
          break;
        case config::Stage::kEvaluate:
          add_evaluate(stage.name(), stage.evaluate(), input);
          break;
        case config::Stage::kGenerate:
        case config::Stage::kScore:
        case config::Stage::kSelect:
          data_[i] = add_data_stage(stage, input, data);
          break;
        case config::Stage::kTransform:
          models_[i] = add_transform(stage, link);
          break;
        case config::Stage::kRounds:
        case config::Stage::KIND_NOT_SET:
          throw Error(ErrorKind::kInternal, "a stage without a kind: rules were not checked");
      }
    }
    return std::move(out_);
  }

 private:
  // A model somewhere on the way: where its weights are, and the keys that a reader of it needs
  // besides.
  struct Source {
    config::ModelSource model;
    std::vector<std::string>
        needs;  // the model's own key first, then the frozen base of an adapter
  };

  struct InputData {
    config::DatasetRef ref;
    bool is_pool = false;  // data.train
  };

  // The model's artifact, the tokenizer's, the frozen base of an adapter, then the data.
  std::vector<std::string> keys_read(const Source& input, const config::DatasetRef& data) const {
    std::vector<std::string> keys = input.needs;
    keys.insert(keys.begin() + (keys.empty() ? 0 : 1), tokenizer_.artifact());
    add_artifacts(data, keys);
    return keys;
  }

  config::FileRef file(const std::string& path) const {
    config::FileRef ref;
    ref.set_path(path);
    ref.set_content(hash_(path));
    return ref;
  }

  std::vector<config::DatasetRef> eval_sets() const {
    std::vector<config::DatasetRef> sets;
    for (const config::EvalSet& set : sweep_.data().eval()) {
      sets.push_back(refs_.eval_set(set));
    }
    return sets;
  }

  // Of data.sets, else what a stage leaves, else data.train.
  config::DatasetRef data_of(const StageLinks& link) const {
    return !link.set.empty() ? refs_.named(link.set, config::TASK_PART_TRAIN)
           : link.data < 0   ? refs_.pool()
                             : data_.at(link.data);
  }

  config::DatasetRef left_by(const std::string& stage) const {
    for (auto left = data_.rbegin(); left != data_.rend(); ++left) {  // the newest, of rounds
      if (name_without_round(trial_.stages(left->first).name()) == stage) {
        return left->second;
      }
    }
    throw Error(ErrorKind::kInternal, "stage " + stage + " left nothing: rules were not checked");
  }

  config::DataRules rules() const {
    const config::Data& data = sweep_.data();
    config::DataRules rules = model_rules_;
    rules.set_max_length(data.max_length());
    rules.set_on_overlong(data.on_overlong());
    rules.set_on_bad_example(data.on_bad_example());
    rules.set_eval_fraction(data.eval_fraction());
    rules.set_response_end(data.response_end());
    rules.set_prompt_end(data.prompt_end());
    add_chat_files(rules);
    return rules;
  }

  // The template that is given, else the one beside the weights.
  void add_chat_files(config::DataRules& rules) const {
    const std::string& model = sweep_.base().model();
    const auto beside = [&model](const char* name) {
      const std::string path = model + "/" + name;
      return !model.empty() && path_exists(path) ? path : std::string();
    };
    const std::string settings = beside("tokenizer_config.json");
    if (!settings.empty()) {
      *rules.mutable_chat_tokens() = file(settings);
    }
    std::string given = sweep_.data().chat_template();
    if (is_gguf_name(model)) {
      *rules.mutable_chat_tokens() = file(model);
      given = given.empty() && read_gguf_summary(model).has_chat_template ? model : given;
    }
    if (given.empty()) {
      given = beside("chat_template.jinja");
    }
    if (given.empty() && !settings.empty() &&
        read_file(settings).find("\"chat_template\"") != std::string::npos) {
      given = settings;
    }
    if (!given.empty()) {
      *rules.mutable_chat_template() = file(given);
    }
  }

  std::string add(config::StageSpec spec, const std::string& name,
                  const std::vector<std::string>& inputs) {
    spec.set_label(name);
    *spec.mutable_mesh() = sweep_.mesh();
    if (spec.has_prepare() || spec.has_select() || spec.has_transform()) {
      spec.mutable_mesh()->clear_tensor();  // what no model reads is the same on every mesh
    }
    for (const std::string& input : inputs) {
      if (!input.empty() &&
          std::find(spec.inputs().begin(), spec.inputs().end(), input) == spec.inputs().end()) {
        spec.add_inputs(input);
      }
    }
    spec.set_key(stage_key(spec));
    out_.names.push_back(name);
    out_.stages.push_back(spec);
    return spec.key();
  }

  void expand_base() {
    const config::Base& base = sweep_.base();
    if (base.has_model()) {
      return set_model_source(base.model(), base.adapter(), hash_, base_.model, tokenizer_,
                              model_rules_);
    }
    *base_.model.mutable_fresh() = base.architecture();
    if (base.tokenizer().has_path()) {
      *tokenizer_.mutable_file() = file(base.tokenizer().path());
    } else {
      config::StageSpec spec;
      config::PrepareSpec& prepare = *spec.mutable_prepare();
      *prepare.mutable_tokenizer() = base.tokenizer().train();
      *prepare.mutable_data() = pretraining_text();
      *prepare.mutable_rules() = rules();
      prepare.mutable_rules()->clear_eval_fraction();
      tokenizer_.set_artifact(add(std::move(spec), "tokenizer", {}));
    }
    if (base.has_pretrain()) {
      base_ =
          add_train("pretrain", base.pretrain().train(), base_, base.pretrain().seed(),
                    {pretraining_text(), false}, teacher_of(base.pretrain().train(), std::nullopt));
    }
  }

  config::DatasetRef pretraining_text() const {
    return refs_.dataset(sweep_.base().pretrain().data(), "base.pretrain.data",
                         config::TASK_PART_TRAIN);
  }

  // What a distilling stage learns from; nothing: what it starts from, or it distils nothing.
  std::optional<Source> teacher_of(const config::Train& train, std::optional<int> stage) const {
    if (stage) {
      return *stage < 0 ? base_ : models_.at(*stage);
    }
    const std::string& path = train.objective().distill().teacher();
    if (!is_model_path(path)) {
      return std::nullopt;
    }
    Source out;
    config::TokenizerSource tokenizer;  // the student's is used
    config::DataRules rules;
    set_model_source(path, "", hash_, out.model, tokenizer, rules);
    return out;
  }

  Source add_train(const std::string& name, const config::Train& train, const Source& input,
                   std::int64_t seed, const InputData& data, const std::optional<Source>& teacher) {
    config::StageSpec spec;
    config::TrainSpec& stage = *spec.mutable_train();
    *stage.mutable_model() = input.model;
    *stage.mutable_tokenizer() = tokenizer_;
    *stage.mutable_data() = data.ref;
    *stage.mutable_rules() = rules();
    if (!data.is_pool) {
      stage.mutable_rules()->clear_eval_fraction();
    }
    *stage.mutable_train() = train;
    stage.mutable_train()->clear_data();
    stage.set_seed(seed);
    std::vector<std::string> inputs = keys_read(input, data.ref);
    if (teacher) {  // its source says what it is, however it is called
      *stage.mutable_teacher() = teacher->model;
      stage.mutable_train()->mutable_objective()->mutable_distill()->clear_teacher();
      inputs.insert(inputs.end(), teacher->needs.begin(), teacher->needs.end());
    }
    if (train.eval_every() > 0) {
      for (config::DatasetRef& set : eval_sets()) {
        add_artifacts(set, inputs);
        *stage.add_eval() = std::move(set);
      }
    }
    Source out;
    out.model.set_artifact(add(std::move(spec), name, inputs));
    out.needs = {out.model.artifact()};
    if (!leaves_whole_weights(train.method())) {  // an adapter is read together with its base
      out.needs.insert(out.needs.end(), input.needs.begin(), input.needs.end());
    }
    return out;
  }

  Source add_transform(const config::Stage& stage, const StageLinks& link) {
    config::StageSpec spec;
    config::TransformSpec& transform = *spec.mutable_transform();
    std::vector<std::string> inputs;
    for (const int model : link.models) {
      const Source& source = model < 0 ? base_ : models_.at(model);
      *transform.add_models() = source.model;
      inputs.insert(inputs.end(), source.needs.begin(), source.needs.end());
    }
    inputs.push_back(tokenizer_.artifact());
    *transform.mutable_tokenizer() = tokenizer_;
    *transform.mutable_transform() = stage.transform();
    if (stage.transform().has_reset() && link.models.size() == 1) {  // fresh values
      transform.set_seed(sweep_.seed());
    }
    Source out;
    out.model.set_artifact(add(std::move(spec), stage.name(), inputs));
    out.needs = {out.model.artifact()};
    return out;
  }

  void add_evaluate(const std::string& name, const config::Evaluate& evaluate,
                    const Source& input) {
    config::StageSpec spec;
    config::EvaluateSpec& stage = *spec.mutable_evaluate();
    *stage.mutable_model() = input.model;
    *stage.mutable_tokenizer() = tokenizer_;
    std::vector<std::string> inputs = keys_read(input, {});
    for (config::DatasetRef& set : eval_sets()) {
      add_artifacts(set, inputs);
      *stage.add_sets() = std::move(set);
    }
    *stage.mutable_rules() = rules();
    *stage.mutable_evaluate() = evaluate;
    add(std::move(spec), name, inputs);
  }

  // Answers and scores: the fields that both have.
  template <class Spec>
  void read_by_model(const Source& input, const InputData& data, Spec& spec) const {
    *spec.mutable_model() = input.model;
    *spec.mutable_tokenizer() = tokenizer_;
    *spec.mutable_data() = data.ref;
    *spec.mutable_rules() = rules();
    if (!data.is_pool) {
      spec.mutable_rules()->clear_eval_fraction();
    }
  }

  config::DatasetRef add_data_stage(const config::Stage& stage, const Source& input,
                                    const InputData& data) {
    config::StageSpec spec;
    std::vector<std::string> inputs = keys_read(input, data.ref);
    if (stage.has_generate()) {
      read_by_model(input, data, *spec.mutable_generate());
      *spec.mutable_generate()->mutable_generate() = stage.generate();
      spec.mutable_generate()->mutable_generate()->clear_data();
      spec.mutable_generate()->set_seed(sweep_.seed());
    } else if (stage.has_score()) {
      read_by_model(input, data, *spec.mutable_score());
      *spec.mutable_score()->mutable_score() = stage.score();
      spec.mutable_score()->mutable_score()->clear_data();
    } else {
      config::SelectSpec& select = *spec.mutable_select();
      *select.mutable_data() = data.ref;
      select.mutable_rules()->set_on_bad_example(sweep_.data().on_bad_example());
      if (data.is_pool) {
        select.mutable_rules()->set_eval_fraction(sweep_.data().eval_fraction());
      }
      *select.mutable_select() = stage.select();
      select.mutable_select()->clear_data();
      if (stage.select().has_random() ||  // the seed of nothing else
          stage.select().grape().take() == config::GRAPE_TAKE_RANDOM) {
        select.set_seed(sweep_.seed());
      }
      inputs.clear();
      add_artifacts(data.ref, inputs);
    }
    config::DatasetRef out;
    out.set_artifact(add(std::move(spec), stage.name(), inputs));
    if (data.ref.has_task()) {
      *out.mutable_task() = data.ref.task();
    }
    return out;
  }

  const config::Sweep& sweep_;
  config::Trial trial_;  // without rounds
  const ContentHash& hash_;
  DatasetRefs refs_;
  TrialStages out_;
  Source base_;
  config::TokenizerSource tokenizer_;
  config::DataRules model_rules_;           // what the model's files say
  std::map<int, Source> models_;            // by the train stage that leaves it
  std::map<int, config::DatasetRef> data_;  // by the stage that leaves them
};

}  // namespace

bool leaves_whole_weights(const config::Method& method) {
  return method.has_full() || method.has_selective() || method.has_bitfit() || method.has_lift();
}

TrialStages expand_trial(const config::Sweep& sweep, const ContentHash& hash) {
  return Expansion(sweep, hash).run();
}

TrialStages expand_run(const config::Run& run, const ContentHash& hash) {
  config::Sweep sweep;
  *sweep.mutable_base() = run.base();
  *sweep.mutable_data() = run.data();
  *sweep.mutable_trial() = run.trial();
  *sweep.mutable_mesh() = run.mesh();
  sweep.set_seed(run.seed());
  return expand_trial(sweep, hash);
}

}  // namespace finescale
