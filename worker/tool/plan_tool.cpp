// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "configs/gpu_support.h"
#include "configs/mesh_plan.h"
#include "core/error.h"
#include "core/parallel.h"
#include "worker/accounting.h"
#include "worker/base_model.h"
#include "worker/data/loader.h"
#include "worker/eval/evaluate.h"
#include "worker/import/open_model.h"
#include "worker/model_fit.h"
#include "worker/objectives/pair_loss.h"
#include "worker/prompt_text.h"
#include "worker/tool/measured_steps.h"
#include "worker/tool/plan_tool_data.h"
#include "worker/tool/plan_tool_gpu.h"
#include "worker/tool/plan_tool_machine.h"
#include "worker/tool/plan_tool_mesh.h"
#include "worker/trunk.h"

namespace finescale {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Of the memory of all ranks: the rest is for the data and for what else runs.
constexpr double kMeasuredMemoryPart = 0.7;

struct Cost {
  std::int64_t tokens = 0, labels = 0, steps = 0;
  std::int64_t tokens_unshared = 0;  // and the FLOPs: of the stage if no trunk did its beginning
  double flops = 0, flops_unshared = 0, seconds = 0;
  double seconds_alone = 0;  // with the threads of every gang
  std::int64_t memory_bytes = 0, checkpoint_bytes = 0;
};

class Estimator {
 public:
  explicit Estimator(const nlohmann::json& request) {
    threads_ = request.value("threads", 1);
    threads_alone_ = request.value("threads_alone", threads_);
    set_num_threads(threads_);
    question_.ranks = request.value("ranks", 1);
    question_.memory_per_rank = request.value("memory_per_rank", 0.0);
    question_.memory_is_stated = request.value("memory_stated", question_.memory_per_rank > 0);
    device_ = request.value("device", "cpu");
    measure_ = request.value("measure", true);
    for (const nlohmann::json& text : request.at("stages")) {
      config::StageSpec spec;
      parse_canonical(text.get<std::string>(), spec);
      specs_.emplace(spec.key(), spec);
      order_.push_back(spec.key());
      question_.mesh = spec.has_train() ? spec.mesh() : question_.mesh;
    }
    if (question_.mesh.choice() == config::MESH_CHOICE_AUTO) {
      clear_unwritten(request.value("written", std::vector<std::string>()), question_.mesh);
      question_.mesh.set_choice(config::MESH_CHOICE_AUTO);
    }
  }

  std::string run() {
    for (const std::string& key : order_) {
      const config::StageSpec& spec = specs_.at(key);
      if (spec.has_train()) {
        workloads_.push_back(make_workload(spec));
      }
    }
    mesh_ = answer_mesh(
        question_, workloads_,
        machine_of_ranks(device(), question_.ranks, products(), probe_machine(threads_)));
    if (!measure_) {
      return nlohmann::json{{"mesh", nlohmann::json::parse(mesh_json(mesh_))}}.dump();
    }
    nlohmann::json stages = nlohmann::json::array();
    for (const std::string& key : order_) {
      const config::StageSpec& spec = specs_.at(key);
      Cost cost;
      if (spec.has_prepare()) {
        cost = prepare(spec);
      } else if (spec.has_train()) {
        cost = train(spec.train());
      } else if (spec.has_evaluate()) {
        cost = evaluate(spec.evaluate());
      } else if (spec.has_transform()) {
        cost = transform(spec.transform());
      } else {
        cost = make_data(spec);
      }
      if (!spec.has_train()) {
        cost.seconds_alone = cost.seconds;
      }
      stages.push_back({{"key", key},
                        {"tokens", cost.tokens},
                        {"labels", cost.labels},
                        {"steps", cost.steps},
                        {"flops", cost.flops},
                        {"tokens_unshared", cost.tokens_unshared},
                        {"flops_unshared", cost.flops_unshared},
                        {"seconds", cost.seconds},
                        {"seconds_alone", cost.seconds_alone},
                        {"memory_bytes", cost.memory_bytes},
                        {"checkpoint_bytes", cost.checkpoint_bytes}});
    }
    return nlohmann::json{
        {"stages", stages}, {"mesh", nlohmann::json::parse(mesh_json(mesh_))}, {"data", found_}}
        .dump();
  }

 private:
  // With `auto` a stage that GPUs cannot do runs on the CPU; one of them makes the plan the CPU's.
  [[nodiscard]] std::string device() const {
    const bool fits = std::none_of(specs_.begin(), specs_.end(), [](const auto& one) {
      return one.second.has_train() && gpu_fault(one.second.train().train()).has_value();
    });
    return device_ == "auto" && !fits ? "cpu" : device_;
  }
  [[nodiscard]] Products products() const {
    return std::any_of(specs_.begin(), specs_.end(),
                       [](const auto& one) {
                         return one.second.train().train().precision() == config::PRECISION_BF16;
                       })
               ? Products::kBf16
               : Products::kF32;
  }

  // A tokenizer that a prepare stage of this plan will leave is trained here; its time is that
  // stage's.
  const Tokenizer& tokenizer(const config::TokenizerSource& source) {
    auto& held = tokenizers_[key_text(source)];
    if (held == nullptr) {
      if (source.has_file()) {
        held = std::make_unique<Tokenizer>(Tokenizer::load(source.file().path()));
      } else {
        const auto found = specs_.find(source.artifact());
        if (found == specs_.end() || !found->second.has_prepare()) {
          throw Error(ErrorKind::kConfig,
                      "the plan does not hold the tokenizer's stage " + source.artifact());
        }
        const config::PrepareSpec& spec = found->second.prepare();
        const Clock::time_point begin = Clock::now();
        std::vector<std::string> special = {spec.rules().response_end()};
        if (!spec.rules().prompt_end().empty()) {
          special.push_back(spec.rules().prompt_end());
        }
        special.insert(special.end(), spec.tokenizer().special_tokens().begin(),
                       spec.tokenizer().special_tokens().end());
        held = std::make_unique<Tokenizer>(Tokenizer::train(
            read_texts(spec.data(), spec.rules()), spec.tokenizer().vocab_size(), special));
        prepare_seconds_[source.artifact()] = seconds_since(begin);
      }
    }
    return *held;
  }

  const config::StageSpec& stage_of(const std::string& key) const {
    const auto found = specs_.find(key);
    if (found == specs_.end()) {
      throw Error(ErrorKind::kProtocol, "the plan does not hold the stage " + key);
    }
    return found->second;
  }

  const Dataset& dataset(const config::DatasetRef& ref, const config::DataRules& rules,
                         const config::TokenizerSource& source) {
    auto& held = datasets_[key_text(ref) + key_text(rules) + key_text(source)];
    if (held == nullptr) {
      if (ref.has_artifact()) {
        const config::StageSpec& maker = stage_of(ref.artifact());
        held = std::make_unique<Dataset>(
            guessed_data(maker, dataset(data_read_by(maker), rules, source)));
        return *held;
      }
      if (reads_artifact(ref)) {
        held = std::make_unique<Dataset>(
            guessed_mixture(ref, [&](const config::DatasetRef& input) -> const Dataset& {
              return dataset(input, rules, source);
            }));
        return *held;
      }
      held = std::make_unique<Dataset>(ref, rules, tokenizer(source));
      const std::string found = dataset_source(ref) + ": " + held->describe();
      if (std::find(found_.begin(), found_.end(), found) == found_.end()) {
        found_.push_back(found);
      }
    }
    return *held;
  }

  Cost prepare(const config::StageSpec& spec) {
    config::TokenizerSource source;
    source.set_artifact(spec.key());
    (void)tokenizer(source);
    Cost cost;
    cost.seconds = prepare_seconds_[spec.key()];
    cost.checkpoint_bytes = 200000;
    return cost;
  }

  // The architecture behind a source: of this plan's pretrain stage, if it comes from there.
  const config::ModelConfig& architecture(const config::ModelSource& source) {
    if (source.has_fresh()) {
      return source.fresh();
    }
    if (source.has_files()) {
      const auto [held, is_new] =
          checkpoints_.emplace(source.files().files(0).path(), config::ModelConfig());
      if (is_new) {
        held->second = open_model_files(source.files())->config();  // checks the files too
      }
      return held->second;
    }
    if (source.has_checkpoint()) {
      const auto [held, is_new] =
          checkpoints_.emplace(source.checkpoint().path(), config::ModelConfig());
      if (is_new) {
        const auto group = make_single_group();
        parse_canonical(CheckpointReader(*group, source.checkpoint().path()).state().model_text,
                        held->second);
      }
      return held->second;
    }
    const auto found = specs_.find(source.artifact());
    if (found != specs_.end() && found->second.has_transform()) {
      return architecture(found->second.transform().models(0));
    }
    if (found == specs_.end() || !found->second.has_train()) {
      throw Error(ErrorKind::kConfig,
                  "the plan does not hold the model's stage " + source.artifact());
    }
    return architecture(found->second.train().model());
  }

  static const config::ModelSource& teacher_of(const config::TrainSpec& spec) {
    return spec.has_teacher() ? spec.teacher() : spec.model();
  }

  planner::Workload make_workload(const config::StageSpec& stage) {
    const config::TrainSpec& spec = stage.train();
    check_mesh(decoder_shape(architecture(spec.model())), stage.mesh());
    check_model_fits(architecture(spec.model()), tokenizer(spec.tokenizer()), spec.rules());
    check_virtual_tokens(spec.train().method(), architecture(spec.model()), spec.rules());
    if (spec.has_teacher()) {
      check_mesh(decoder_shape(architecture(spec.teacher())), stage.mesh());
      check_teacher_fits(architecture(spec.teacher()), architecture(spec.model()), spec.rules());
    }
    return make_workload(spec, TrainLoader(dataset(spec.data(), spec.rules(), spec.tokenizer()),
                                           spec.train(), spec.seed()));
  }
  planner::Workload make_workload(const config::TrainSpec& spec, const TrainLoader& loader) {
    planner::Workload w = workload(spec.train(), decoder_shape(architecture(spec.model())),
                                   batch_shape(loader), static_cast<double>(loader.num_steps()));
    w.keeps_base = w.method.changes_base() && !spec.model().has_fresh();
    if (w.teacher && spec.has_teacher()) {
      w.teacher = model_shape(decoder_shape(architecture(spec.teacher())));
      w.keeps_teacher = true;
    }
    w.eval_tokens = std::max(w.eval_tokens, spec.train().eval_every() > 0 ? kEvaluationTokens : 0);
    return w;
  }

  // Steps are timed on one rank of the CPU: where its memory is short, and for GPUs, the planner's
  // figures must do.
  bool can_measure(const planner::Workload& w) const {
    if (mesh_.machine.has_device()) {
      return false;
    }
    const double one = planner::peak_memory(w, {}, mesh_.machine).total();
    return one <= kMeasuredMemoryPart * mesh_.machine.memory_per_rank * question_.ranks;
  }

  struct Shape {
    explicit Shape(const config::ModelConfig& model) : layout(model) {}
    ModelLayout layout;
    std::unique_ptr<MeasuredSteps> steps;  // null: too large to try on one rank
    double seconds_per_token = 0;
    double seconds_per_token_alone = 0;
    double eval_seconds_per_token = 0;
    std::int64_t memory_bytes = 0;
    std::int64_t trainable = 0;
    std::int64_t written = 0;  // elements of the artifact
    bool trains_base = true;
  };

  // Times real steps on the run's own first batches.
  Shape& shape(const config::TrainSpec& spec, const TrainLoader& loader) {
    const config::Train& t = spec.train();
    const std::string name = key_text(architecture(spec.model())) + key_text(t.method()) +
                             key_text(t.objective()) + key_text(spec.teacher()) +
                             key_text(t.optimizer()) + key_text(t.batch()) +
                             std::to_string(t.micro_batch_tokens()) + key_text(spec.data()) +
                             std::to_string(t.precision());
    if (const auto known = shapes_.find(name); known != shapes_.end()) {
      return known->second;
    }
    Shape& held = shapes_.try_emplace(name, architecture(spec.model())).first->second;
    const planner::Workload w = make_workload(spec, loader);
    held.memory_bytes = static_cast<std::int64_t>(
        planner::peak_memory(w, mesh_plan(mesh_.mesh), mesh_.machine).total());
    const double one_rank = planner::step_time(w, {}, mesh_.machine).total();
    const double speed =
        planner::step_time(w, mesh_plan(mesh_.mesh), mesh_.machine).total() / one_rank;
    held.trains_base = w.method.changes_base();
    held.trainable = w.method.trained(w.model);
    held.written = held.trains_base ? w.model.parameters() : held.trainable;
    if (!can_measure(w)) {
      held.seconds_per_token = held.seconds_per_token_alone = speed * one_rank / w.batch.tokens;
      held.eval_seconds_per_token = held.seconds_per_token / 3;
      return held;
    }
    measure(spec, loader, held);
    held.seconds_per_token *= speed;
    held.seconds_per_token_alone *= speed;
    held.eval_seconds_per_token *= speed;
    return held;
  }

  void measure(const config::TrainSpec& spec, const TrainLoader& loader, Shape& held) {
    held.steps = std::make_unique<MeasuredSteps>(
        architecture(spec.model()), with_prompt_ids(spec.train(), tokenizer(spec.tokenizer())),
        loader, architecture(teacher_of(spec)));
    held.seconds_per_token_alone = held.seconds_per_token = held.steps->seconds_per_token();
    if (threads_alone_ != threads_) {
      set_num_threads(threads_alone_);
      held.seconds_per_token_alone = held.steps->seconds_per_token();
      set_num_threads(threads_);
    }
    held.eval_seconds_per_token = held.steps->eval_seconds_per_token();
  }

  Cost train(const config::TrainSpec& spec) {
    const Dataset& data = dataset(spec.data(), spec.rules(), spec.tokenizer());
    check_data(*make_objective(spec.train().objective()), data);
    const TrainLoader loader(data, spec.train(), spec.seed());
    const Shape& s = shape(spec, loader);
    Cost cost = trained(spec, loader, s);
    // Beyond the steps: reading, tokenising and the artifact, measured once at 20 ms.
    cost.seconds = static_cast<double>(cost.tokens) * s.seconds_per_token + 0.02;
    cost.seconds_alone = static_cast<double>(cost.tokens) * s.seconds_per_token_alone + 0.02;
    cost.memory_bytes = s.memory_bytes;
    // A trunk keeps two moments beside each value.
    cost.checkpoint_bytes = (s.written + (spec.trunk() ? 2 * s.trainable : 0)) *
                                (spec.train().precision() == config::PRECISION_F64 ? 8 : 4) +
                            220000;
    return cost;
  }

  // Where the trunk ends that the stage goes on from.
  std::int64_t first_step(const config::TrainSpec& spec) {
    if (!spec.has_start()) {
      return 0;
    }
    const auto found = specs_.find(spec.start());
    if (found == specs_.end() || !found->second.has_train()) {
      throw Error(ErrorKind::kProtocol, "the plan does not hold the trunk " + spec.start());
    }
    const config::TrainSpec& trunk = found->second.train();
    return trunk_end(TrainLoader(dataset(trunk.data(), trunk.rules(), trunk.tokenizer()),
                                 trunk.train(), trunk.seed()),
                     trunk.train());
  }

  Cost trained(const config::TrainSpec& spec, const TrainLoader& loader, const Shape& s) {
    const auto flops = [&](const StepTotals& steps) {
      return train_flops(s.layout, spec.train().method(), s.trains_base ? 0 : s.trainable,
                         steps.tokens, steps.labels, steps.sum);
    };
    const auto of_length = [&s](std::int64_t length) { return attended(s.layout.shape(), length); };
    const bool has_teacher = spec.train().objective().has_distill();
    const DecoderShape teacher = decoder_shape(architecture(teacher_of(spec)));
    const auto seen = [&](std::int64_t from, std::int64_t to, const StepTotals& steps) {
      const auto sum =
          loader.totals(from, to, [&](std::int64_t length) { return attended(teacher, length); })
              .sum;
      return has_teacher ? forward_flops(teacher, steps.tokens, steps.labels, sum) : 0;
    };
    const std::int64_t end = spec.trunk() ? trunk_end(loader, spec.train()) : loader.num_steps();
    const std::int64_t begin = first_step(spec);
    const StepTotals steps = loader.totals(begin, end, of_length);
    Cost cost;
    cost.steps = end - begin;
    cost.tokens = steps.tokens;
    cost.labels = steps.labels;
    cost.flops = flops(steps) + seen(begin, end, steps);
    if (!spec.trunk()) {
      const StepTotals whole = loader.totals(0, end, of_length);
      cost.tokens_unshared = whole.tokens;
      cost.flops_unshared = flops(whole) + seen(0, end, whole);
    }
    return cost;
  }

  // Of the stage of this plan that leaves the model; null: it comes from elsewhere.
  const Shape* shape_of(const config::ModelSource& model) {
    const auto made_by = specs_.find(model.artifact());
    if (made_by == specs_.end()) {
      return nullptr;
    }
    if (made_by->second.has_transform()) {
      return shape_of(made_by->second.transform().models(0));
    }
    const config::TrainSpec& train_spec = made_by->second.train();
    const Dataset& pool = dataset(train_spec.data(), train_spec.rules(), train_spec.tokenizer());
    return &shape(train_spec, TrainLoader(pool, train_spec.train(), train_spec.seed()));
  }

  // Reading and writing at about 50 million weights a second, measured; a decomposition of a matrix
  // is 4 passes of twice the rank over it and no worse than one of training.
  Cost transform(const config::TransformSpec& spec) {
    constexpr double kWeightsPerSecond = 5e7;
    Cost cost;
    const auto weights = static_cast<double>(num_parameters(architecture(spec.models(0))));
    cost.seconds = 0.02 + weights * (spec.models_size() + 1) / kWeightsPerSecond;
    cost.checkpoint_bytes = static_cast<std::int64_t>(4 * weights) + 220000;
    cost.memory_bytes = static_cast<std::int64_t>(4 * weights) / std::max(1, question_.ranks);
    return cost;
  }

  // Answers and scores; a choice costs next to nothing.
  Cost make_data(const config::StageSpec& stage) {
    Cost cost;
    cost.seconds = 0.02;
    if (stage.has_generate()) {
      const config::GenerateSpec& spec = stage.generate();
      const Dataset& prompts = dataset(spec.data(), spec.rules(), spec.tokenizer());
      const Shape* s = shape_of(spec.model());
      config::Evaluate asked;  // an answer costs the same, greedy or drawn
      asked.set_max_new_tokens(spec.generate().max_new_tokens());
      asked.set_limit(spec.generate().has_data_budget() ? spec.generate().data_budget()
                                                        : prompts.size());
      cost.seconds += s == nullptr ? 0 : answers(*s, prompts, asked) * spec.generate().samples();
    } else if (stage.has_score()) {
      const config::ScoreSpec& spec = stage.score();
      const Shape* s = shape_of(spec.model());
      cost.seconds += s == nullptr
                          ? 0
                          : tokens_of(dataset(spec.data(), spec.rules(), spec.tokenizer())) *
                                s->eval_seconds_per_token;
    }
    cost.checkpoint_bytes = 100000;
    return cost;
  }

  Cost evaluate(const config::EvaluateSpec& spec) {
    const Shape* found = shape_of(spec.model());
    if (found == nullptr) {
      return {};
    }
    const Shape& s = *found;
    Cost cost;
    for (const config::DatasetRef& set : spec.sets()) {
      const Dataset& data = dataset(set, spec.rules(), spec.tokenizer());
      bool asks = false;
      for (const std::string& metric : spec.evaluate().metrics()) {
        cost.seconds += metric == "loss" ? tokens_of(data) * s.eval_seconds_per_token : 0;
        asks = asks || metric != "loss";
      }
      cost.seconds += asks ? answers(s, data, spec.evaluate()) : 0;
    }
    cost.checkpoint_bytes = 20000;
    return cost;
  }

  // Greedy answers of one group of 64 prompts, scaled to the set; once per shape and set.
  double answers(const Shape& s, const Dataset& data, const config::Evaluate& evaluate) {
    auto [it, is_new] = answer_seconds_.emplace(std::pair(&s, &data), 0.0);
    if (is_new) {
      std::int64_t asked = 0;
      const auto prompts = first_prompts(data, evaluate, &asked);
      if (!prompts.empty() && s.steps != nullptr) {
        const std::int64_t groups = (asked + 63) / 64;
        it->second = s.steps->answer_seconds(prompts, evaluate.max_new_tokens()) *
                     static_cast<double>(groups);
      }
    }
    return it->second;
  }

  MeshQuestion question_;
  MeshAnswer mesh_;
  bool measure_ = true;
  std::string device_;
  std::vector<planner::Workload> workloads_;                // of the train stages, in order
  std::map<std::string, config::ModelConfig> checkpoints_;  // by path, and of model files
  int threads_ = 1;
  int threads_alone_ = 1;
  std::map<std::string, config::StageSpec> specs_;
  std::vector<std::string> order_;
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers_;
  std::map<std::string, std::unique_ptr<Dataset>> datasets_;
  std::vector<std::string> found_;  // what was detected in each
  std::map<std::string, double> prepare_seconds_;
  std::map<std::string, Shape> shapes_;
  std::map<std::pair<const Shape*, const Dataset*>, double> answer_seconds_;
};

}  // namespace

std::string plan_tool(const std::string& request) {
  try {
    return Estimator(nlohmann::json::parse(request)).run();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kProtocol, std::string("tool plan: ") + error.what());
  }
}

}  // namespace finescale
