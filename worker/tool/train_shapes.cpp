// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/train_shapes.h"

#include <algorithm>

#include "configs/canonical.h"
#include "configs/mesh_plan.h"
#include "core/parallel.h"
#include "worker/eval/evaluate.h"
#include "worker/model_fit.h"
#include "worker/prompt_text.h"

namespace finescale {

namespace {

// Of the memory of all ranks: the rest is for the data and for what else runs.
constexpr double kMeasuredMemoryPart = 0.7;

planner::Workload workload_of(PlanInputs& inputs, const config::TrainSpec& spec) {
  const auto loader = inputs.loader(spec);
  planner::Workload w = workload(spec.train(), decoder_shape(inputs.architecture(spec.model())),
                                 batch_shape(*loader), static_cast<double>(loader->num_steps()));
  w.keeps_base = w.method.changes_base() && !spec.model().has_fresh();
  if (w.teacher && spec.has_teacher()) {
    w.teacher = model_shape(decoder_shape(inputs.architecture(spec.teacher())));
    w.keeps_teacher = true;
  }
  w.eval_tokens = std::max(w.eval_tokens, spec.train().eval_every() > 0 ? kEvaluationTokens : 0);
  return w;
}

// All that a step's time depends on, but for what the examples are like.
std::string name_of(const config::ModelConfig& architecture, const config::ModelConfig& teacher,
                    const config::TrainSpec& spec, const TrainLoader& loader) {
  const config::Train& t = spec.train();
  return key_text(architecture) + key_text(t.method()) + key_text(t.objective()) +
         (spec.has_teacher() ? key_text(teacher) : "") + key_text(t.optimizer()) +
         key_text(t.batch()) + std::to_string(t.micro_batch_tokens()) +
         std::to_string(t.precision()) + (loader.is_weighted() ? "weighted" : "");
}

}  // namespace

PoolForm form_of(const Dataset& pool) {
  double tokens = 0;
  double squares = 0;
  double labels = 0;
  for (std::int64_t i = 0; i < pool.size(); ++i) {
    const ExampleView example = pool[i];
    const auto length = static_cast<double>(example.tokens.size());
    tokens += length;
    squares += length * length;
    labels += static_cast<double>(example.num_labels());
  }
  const auto count = static_cast<double>(pool.size());
  return {tokens / count, squares / tokens, labels / count};
}

bool are_alike(const PoolForm& a, const PoolForm& b) {
  constexpr double kTenth = 1.1;
  const auto near = [](double x, double y) { return x <= kTenth * y && y <= kTenth * x; };
  return near(a.length, b.length) && near(a.context, b.context) && near(a.labels, b.labels);
}

const config::ModelSource& teacher_of(const config::TrainSpec& spec) {
  return spec.has_teacher() ? spec.teacher() : spec.model();
}

planner::Workload make_workload(PlanInputs& inputs, const config::StageSpec& stage) {
  const config::TrainSpec& spec = stage.train();
  const config::ModelConfig& model = inputs.architecture(spec.model());
  check_mesh(decoder_shape(model), stage.mesh());
  check_model_fits(model, inputs.tokenizer(spec.tokenizer()), spec.rules());
  check_virtual_tokens(spec.train().method(), model, spec.rules());
  if (spec.has_teacher()) {
    const config::ModelConfig& teacher = inputs.architecture(spec.teacher());
    check_mesh(decoder_shape(teacher), stage.mesh());
    check_teacher_fits(teacher, model, spec.rules());
  }
  return workload_of(inputs, spec);
}

// For GPUs, and where a rank's memory is short, the planner's figures must do.
bool TrainShapes::can_measure(const planner::Workload& work) const {
  if (mesh_.machine.has_device()) {
    return false;
  }
  const double one = planner::peak_memory(work, {}, mesh_.machine).total();
  return one <= kMeasuredMemoryPart * mesh_.machine.memory_per_rank * ranks_;
}

const PoolForm& TrainShapes::form(const config::TrainSpec& spec) {
  const Dataset& pool = inputs_.dataset(spec.data(), spec.rules(), spec.tokenizer());
  const auto [place, is_new] = forms_.try_emplace(&pool);
  if (is_new) {
    place->second = form_of(pool);
  }
  return place->second;
}

// Bases that are trained with another seed, each on its own draw of one pool, are measured once.
TrainShape& TrainShapes::of(const config::TrainSpec& spec) {
  const config::ModelConfig& model = inputs_.architecture(spec.model());
  const auto loader = inputs_.loader(spec);
  const PoolForm& pool = form(spec);
  std::list<Known>& same =
      shapes_[name_of(model, inputs_.architecture(teacher_of(spec)), spec, *loader)];
  const auto found = std::find_if(same.begin(), same.end(),
                                  [&](const Known& one) { return are_alike(one.form, pool); });
  if (found != same.end()) {
    return found->shape;
  }
  TrainShape& shape = same.emplace_back(Known{pool, TrainShape(model)}).shape;
  price(spec, shape);
  return shape;
}

void TrainShapes::price(const config::TrainSpec& spec, TrainShape& shape) {
  const planner::Workload w = workload_of(inputs_, spec);
  shape.memory_bytes = static_cast<std::int64_t>(
      planner::peak_memory(w, mesh_plan(mesh_.mesh), mesh_.machine).total());
  const double one_rank = planner::step_time(w, {}, mesh_.machine).total();
  const double speed =
      planner::step_time(w, mesh_plan(mesh_.mesh), mesh_.machine).total() / one_rank;
  shape.trains_base = w.method.changes_base();
  shape.trainable = w.method.trained(w.model);
  shape.written = shape.trains_base ? w.model.parameters() : shape.trainable;
  if (can_measure(w)) {
    measure(spec, shape);
  } else {
    shape.seconds_per_token = shape.seconds_per_token_alone = one_rank / w.batch.tokens;
    shape.eval_seconds_per_token = shape.seconds_per_token / 3;
  }
  shape.seconds_per_token *= speed;
  shape.seconds_per_token_alone *= speed;
  shape.eval_seconds_per_token *= speed;
}

void TrainShapes::measure(const config::TrainSpec& spec, TrainShape& shape) {
  const auto loader = inputs_.loader(spec);
  shape.steps = std::make_unique<MeasuredSteps>(
      inputs_.architecture(spec.model()),
      with_prompt_ids(spec.train(), inputs_.tokenizer(spec.tokenizer())), *loader,
      inputs_.architecture(teacher_of(spec)));
  shape.seconds_per_token_alone = shape.seconds_per_token = shape.steps->seconds_per_token();
  if (threads_.alone != threads_.own) {
    set_num_threads(threads_.alone);
    shape.seconds_per_token_alone = shape.steps->seconds_per_token();
    set_num_threads(threads_.own);
  }
  shape.eval_seconds_per_token = shape.steps->eval_seconds_per_token();
}

const TrainShape* TrainShapes::behind(const config::ModelSource& model) {
  const config::StageSpec* maker = inputs_.find(model.artifact());
  if (maker == nullptr) {
    return nullptr;
  }
  if (maker->has_transform()) {
    return behind(maker->transform().models(0));
  }
  return &of(maker->train());
}

}  // namespace finescale
