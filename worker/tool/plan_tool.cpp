// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/plan_tool.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/gpu_support.h"
#include "core/error.h"
#include "core/parallel.h"
#include "worker/accounting.h"
#include "worker/objectives/pair_loss.h"
#include "worker/tool/plan_inputs.h"
#include "worker/tool/plan_tool_data.h"
#include "worker/tool/plan_tool_gpu.h"
#include "worker/tool/plan_tool_machine.h"
#include "worker/tool/plan_tool_mesh.h"
#include "worker/tool/train_shapes.h"
#include "worker/trunk.h"

namespace finescale {

namespace {

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
    threads_.own = request.value("threads", 1);
    threads_.alone = request.value("threads_alone", threads_.own);
    set_num_threads(threads_.own);
    question_.ranks = request.value("ranks", 1);
    question_.memory_per_rank = request.value("memory_per_rank", 0.0);
    question_.memory_is_stated = request.value("memory_stated", question_.memory_per_rank > 0);
    device_ = request.value("device", "cpu");
    measure_ = request.value("measure", true);
    for (const nlohmann::json& text : request.at("stages")) {
      config::StageSpec spec;
      parse_canonical(text.get<std::string>(), spec);
      order_.push_back(spec.key());
      question_.mesh = spec.has_train() ? spec.mesh() : question_.mesh;
      inputs_.add(std::move(spec));
    }
    if (question_.mesh.choice() == config::MESH_CHOICE_AUTO) {
      clear_unwritten(request.value("written", std::vector<std::string>()), question_.mesh);
      question_.mesh.set_choice(config::MESH_CHOICE_AUTO);
    }
  }

  std::string run() {
    std::vector<planner::Workload> workloads;  // of the train stages, in order
    for (const std::string& key : order_) {
      const config::StageSpec& spec = *inputs_.find(key);
      if (spec.has_train()) {
        workloads.push_back(make_workload(inputs_, spec));
      }
    }
    mesh_ = answer_mesh(
        question_, workloads,
        machine_of_ranks(device(), question_.ranks, products(), probe_machine(threads_.own)));
    if (!measure_) {
      return nlohmann::json{{"mesh", nlohmann::json::parse(mesh_json(mesh_))}}.dump();
    }
    shapes_.emplace(inputs_, mesh_, question_.ranks, threads_);
    nlohmann::json stages = nlohmann::json::array();
    for (const std::string& key : order_) {
      const config::StageSpec& spec = *inputs_.find(key);
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
    return nlohmann::json{{"stages", stages},
                          {"mesh", nlohmann::json::parse(mesh_json(mesh_))},
                          {"data", inputs_.found()}}
        .dump();
  }

 private:
  // With `auto` a stage that GPUs cannot do runs on the CPU; one of them makes the plan the CPU's.
  [[nodiscard]] std::string device() const {
    const bool fits =
        std::none_of(inputs_.stages().begin(), inputs_.stages().end(), [](const auto& one) {
          return one.second.has_train() && gpu_fault(one.second.train().train()).has_value();
        });
    return device_ == "auto" && !fits ? "cpu" : device_;
  }
  [[nodiscard]] Products products() const {
    return std::any_of(inputs_.stages().begin(), inputs_.stages().end(),
                       [](const auto& one) {
                         return one.second.train().train().precision() == config::PRECISION_BF16;
                       })
               ? Products::kBf16
               : Products::kF32;
  }

  Cost prepare(const config::StageSpec& spec) {
    config::TokenizerSource source;
    source.set_artifact(spec.key());
    (void)inputs_.tokenizer(source);
    Cost cost;
    cost.seconds = inputs_.prepare_seconds(spec.key());
    cost.checkpoint_bytes = 200000;
    return cost;
  }

  Cost train(const config::TrainSpec& spec) {
    const Dataset& data = inputs_.dataset(spec.data(), spec.rules(), spec.tokenizer());
    check_data(*make_objective(spec.train().objective()), data);
    const TrainShape& s = shapes_->of(spec);
    Cost cost = trained(spec, *inputs_.loader(spec), s);
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
    const config::StageSpec* found = inputs_.find(spec.start());
    if (found == nullptr || !found->has_train()) {
      throw Error(ErrorKind::kProtocol, "the plan does not hold the trunk " + spec.start());
    }
    const config::TrainSpec& trunk = found->train();
    return trunk_end(*inputs_.loader(trunk), trunk.train());
  }

  Cost trained(const config::TrainSpec& spec, const TrainLoader& loader, const TrainShape& s) {
    const auto flops = [&](const StepTotals& steps) {
      return train_flops(s.layout, spec.train().method(), s.trains_base ? 0 : s.trainable,
                         steps.tokens, steps.labels, steps.sum);
    };
    const auto of_length = [&s](std::int64_t length) { return attended(s.layout.shape(), length); };
    const bool has_teacher = spec.train().objective().has_distill();
    const DecoderShape teacher = decoder_shape(inputs_.architecture(teacher_of(spec)));
    const auto seen = [&](std::int64_t from, std::int64_t to, const StepTotals& steps) {
      if (!has_teacher) {
        return 0.0;
      }
      const auto sum =
          loader.totals(from, to, [&](std::int64_t length) { return attended(teacher, length); })
              .sum;
      return forward_flops(teacher, steps.tokens, steps.labels, sum);
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
      const StepTotals whole = begin == 0 ? steps : loader.totals(0, end, of_length);
      cost.tokens_unshared = whole.tokens;
      cost.flops_unshared = flops(whole) + seen(0, end, whole);
    }
    return cost;
  }

  // Reading and writing at about 50 million weights a second, measured; a decomposition of a matrix
  // is 4 passes of twice the rank over it and no worse than one of training.
  Cost transform(const config::TransformSpec& spec) {
    constexpr double kWeightsPerSecond = 5e7;
    Cost cost;
    const auto weights = static_cast<double>(num_parameters(inputs_.architecture(spec.models(0))));
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
      const Dataset& prompts = inputs_.dataset(spec.data(), spec.rules(), spec.tokenizer());
      const TrainShape* s = shapes_->behind(spec.model());
      config::Evaluate asked;  // an answer costs the same, greedy or drawn
      asked.set_max_new_tokens(spec.generate().max_new_tokens());
      asked.set_limit(spec.generate().has_data_budget() ? spec.generate().data_budget()
                                                        : prompts.size());
      cost.seconds += s == nullptr ? 0 : answers(*s, prompts, asked) * spec.generate().samples();
    } else if (stage.has_score()) {
      const config::ScoreSpec& spec = stage.score();
      const TrainShape* s = shapes_->behind(spec.model());
      cost.seconds +=
          s == nullptr ? 0
                       : tokens_of(inputs_.dataset(spec.data(), spec.rules(), spec.tokenizer())) *
                             s->eval_seconds_per_token;
    }
    cost.checkpoint_bytes = 100000;
    return cost;
  }

  Cost evaluate(const config::EvaluateSpec& spec) {
    const TrainShape* found = shapes_->behind(spec.model());
    if (found == nullptr) {
      return {};
    }
    const TrainShape& s = *found;
    Cost cost;
    for (const config::DatasetRef& set : spec.sets()) {
      const Dataset& data = inputs_.dataset(set, spec.rules(), spec.tokenizer());
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
  double answers(const TrainShape& s, const Dataset& data, const config::Evaluate& evaluate) {
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
  bool measure_ = true;
  std::string device_;
  TrainShapes::Threads threads_;
  PlanInputs inputs_;
  std::vector<std::string> order_;  // of the stages
  MeshAnswer mesh_;
  std::optional<TrainShapes> shapes_;  // once the mesh is known
  std::map<std::pair<const TrainShape*, const Dataset*>, double> answer_seconds_;
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
