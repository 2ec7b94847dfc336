// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "configs/mesh_plan.h"
#include "configs/rules.h"

namespace finescale {

namespace {

void resolve_train(config::Train& train) {
  if (train.method().kind_case() == config::Method::KIND_NOT_SET) {
    train.mutable_method()->mutable_full();
  }
  if (train.objective().kind_case() == config::Objective::KIND_NOT_SET) {
    train.mutable_objective()->mutable_sft();
  }
  if (train.schedule().kind_case() == config::Schedule::KIND_NOT_SET) {
    train.mutable_schedule()->mutable_linear();
  }
  if (train.batch().kind_case() == config::Batch::KIND_NOT_SET) {
    train.mutable_batch()->set_tokens(4096);
  }
  if (train.optimizer().has_adamw()) {  // the older fields say the same: equal settings, equal keys
    const config::Adamw& adamw = train.optimizer().adamw();
    if (!adamw.betas().empty()) {
      *train.mutable_betas() = adamw.betas();
    }
    if (adamw.has_eps()) {
      train.set_eps(adamw.eps());
    }
    train.clear_optimizer();
  }
  if (train.betas().empty()) {
    train.add_betas(0.9);
    train.add_betas(0.999);
  }
}

void resolve_base(config::Base& base) {
  if (base.has_pretrain()) {
    resolve_train(*base.mutable_pretrain()->mutable_train());
    if (base.tokenizer().kind_case() == config::Tokenizer::KIND_NOT_SET && !base.has_model()) {
      base.mutable_tokenizer()->mutable_train();
    }
  }
  if (base.tokenizer().has_train() && !base.tokenizer().train().has_vocab_size()) {
    base.mutable_tokenizer()->mutable_train()->set_vocab_size(
        unchecked_shape(base.architecture()).vocab_size);
  }
}

template <class AnyStages>
void resolve_stages(AnyStages& stages) {
  for (config::Stage& stage : stages) {
    if (stage.has_rounds()) {
      resolve_stages(*stage.mutable_rounds()->mutable_stages());
    } else if (stage.has_train()) {
      resolve_train(*stage.mutable_train());
    } else if (stage.has_evaluate() && stage.evaluate().metrics().empty()) {
      stage.mutable_evaluate()->add_metrics("loss");
    }
  }
}

// Each job is a gang: two names of one number.
void resolve_pool(config::Resources& resources) {
  config::Pool& pool = *resources.mutable_launcher()->mutable_pool();
  if (pool.start_case() == config::Pool::START_NOT_SET) {
    pool.mutable_srun();
  }
  if (!pool.has_max_jobs()) {
    pool.set_max_jobs(resources.gangs());
  } else if (!resources.has_gangs()) {
    resources.set_gangs(pool.max_jobs());
  }
}

void resolve_resources(config::Sweep& sweep) {
  config::Resources& resources = *sweep.mutable_resources();
  if (resources.launcher().kind_case() == config::Launcher::KIND_NOT_SET) {
    resources.mutable_launcher()->mutable_mpirun();
  }
  if (resources.launcher().has_pool()) {
    resolve_pool(resources);
  }
  if (!sweep.has_mesh()) {
    sweep.mutable_mesh()->set_data(resources.ranks_per_gang());
  }
  if (sweep.mesh().choice() == config::MESH_CHOICE_AUTO) {
    return;  // what is left out is the planner's
  }
  resolve_mesh(*sweep.mutable_mesh());
  if (!resources.has_ranks_per_gang()) {
    resources.set_ranks_per_gang(mesh_plan(sweep.mesh()).axes.ranks());
  }
}

void resolve_laws(config::Sweep& sweep) {
  config::Laws& laws = *sweep.mutable_laws();
  if (!laws.has_metric() && sweep.data().eval_size() > 0) {
    laws.set_metric(sweep.data().eval(0).name() + ".loss");
  }
  if (laws.forms().empty()) {
    for (const char* form : {"power", "power_offset", "rectified"}) {
      laws.add_forms(form);
    }
  }
  if (laws.per().empty()) {
    laws.add_per("method");
  }
}

// What decides is what the laws are fitted to; the budgets are the axis that is called so.
void resolve_rungs(const config::Sweep& sweep, config::Rungs& rungs) {
  if (!rungs.has_metric()) {
    rungs.set_metric(sweep.laws().metric());
  }
  for (const config::Axis& axis : sweep.axes()) {
    if (!rungs.has_budget() && axis.path().ends_with(".data_budget")) {
      rungs.set_budget(axis.path());
    }
  }
}

void resolve_search(config::Sweep& sweep) {
  config::Search& search = *sweep.mutable_search();
  switch (search.kind_case()) {
    case config::Search::kHalving:
      return resolve_rungs(sweep, *search.mutable_halving());
    case config::Search::kAsha:
      return resolve_rungs(sweep, *search.mutable_asha());
    case config::Search::kTpe:
      if (!search.tpe().has_metric()) {
        search.mutable_tpe()->set_metric(sweep.laws().metric());
      }
      return;
    case config::Search::KIND_NOT_SET:
      search.mutable_grid();
      return;
    case config::Search::kGrid:
    case config::Search::kRandom:
      return;
  }
}

}  // namespace

std::string stage_kind(const config::Stage& stage) {
  switch (stage.kind_case()) {
    case config::Stage::kTrain:
      return "train";
    case config::Stage::kEvaluate:
      return "evaluate";
    case config::Stage::kGenerate:
      return "generate";
    case config::Stage::kScore:
      return "score";
    case config::Stage::kSelect:
      return "select";
    case config::Stage::kTransform:
      return "transform";
    case config::Stage::kRounds:
      return "rounds";
    case config::Stage::KIND_NOT_SET:
      break;
  }
  return "";
}

namespace {

using Stages = google::protobuf::RepeatedPtrField<config::Stage>;

void collect_names(const Stages& stages, std::set<std::string>& taken) {
  for (const config::Stage& stage : stages) {
    taken.insert(stage.name());
    collect_names(stage.rounds().stages(), taken);
  }
}

void name_stages(Stages& stages, std::set<std::string>& taken) {
  for (config::Stage& stage : stages) {
    if (!stage.has_name() && stage.kind_case() != config::Stage::KIND_NOT_SET) {
      std::string name = stage_kind(stage);
      for (int i = 2; taken.contains(name); ++i) {
        name = stage_kind(stage) + std::to_string(i);
      }
      taken.insert(name);
      stage.set_name(name);
    }
    if (stage.has_rounds()) {
      name_stages(*stage.mutable_rounds()->mutable_stages(), taken);
    }
  }
}

}  // namespace

void resolve_names(config::Sweep& sweep) {
  std::set<std::string> taken;
  collect_names(sweep.trial().stages(), taken);
  name_stages(*sweep.mutable_trial()->mutable_stages(), taken);
}

void resolve_defaults(config::Sweep& sweep) {
  resolve_names(sweep);
  resolve_base(*sweep.mutable_base());
  resolve_stages(*sweep.mutable_trial()->mutable_stages());
  if (sweep.tune().has_geometric() && !sweep.tune().has_trials()) {
    sweep.mutable_tune()->set_trials(sweep.tune().geometric().points());
  }
  resolve_resources(sweep);
  resolve_laws(sweep);
  resolve_search(sweep);
  if (!sweep.has_output()) {
    sweep.set_output("runs/" + sweep.name());
  }
}

}  // namespace finescale
